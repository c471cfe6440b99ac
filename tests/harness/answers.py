"""Answers of lm-evaluation-harness 0.4.13 to random requests, with tiny random models of each family.

    HF_HUB_OFFLINE=1 python answers.py OUT [--kept]

Each directory in OUT is a model with its tokenizer, and `answers.json`: requests, and the harness's answer to each, or
null where it fails. crates/eval/tests/answers.rs compares them. With --kept it writes only the small ones that are
kept in crates/eval/tests/answers. Pinned: lm-eval 0.4.13, transformers 5.24.0, torch 2.15.0, tokenizers 0.23.3.
"""

import json
import random
import sys
from pathlib import Path

import torch
from lm_eval.api.instance import Instance
from lm_eval.models.huggingface import HFLM
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import (
    GPTNeoXConfig, GPTNeoXForCausalLM, LlamaConfig, LlamaForCausalLM, Olmo2Config, Olmo2ForCausalLM, Olmo3Config,
    Olmo3ForCausalLM, OlmoConfig, OlmoForCausalLM, Qwen3Config, Qwen3ForCausalLM, SmolLM3Config, SmolLM3ForCausalLM,
)

WORDS = (
    "the a miller's grey donkey carried seven sacks of barley over wet hills while two crows argued about snow "
    "river stone lantern seldom quickly because nobody counts pears in winter , . ? ! 42 1887 x = y + 3"
).split()
HAN = "磨坊主的灰驴驮着七袋大麦翻过湿漉漉的山丘两只乌鸦争论雪下得多深谁也不数冬天的梨子，。？"
LENGTH = 48


def text(rng, most):
    if rng.random() < 0.3:
        return "".join(rng.choice(HAN) for _ in range(rng.randint(1, most)))
    return " ".join(rng.choice(WORDS) for _ in range(rng.randint(1, most)))


def tokenizer(directory, rng, style):
    """`style`: what is added to a text: nothing, by the tokenizer.json, or as the configuration says."""
    hub = Tokenizer(models.BPE())
    hub.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    hub.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400, min_frequency=2, special_tokens=["<|begin|>", "<|end|>"], show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )
    hub.train_from_iterator([text(rng, 30) for _ in range(300)], trainer)
    config = {"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": "<|end|>"}
    if style != "plain":
        config["bos_token"] = "<|begin|>"
    if style == "template":
        hub.post_processor = processors.TemplateProcessing(
            single="<|begin|> $A", pair="<|begin|> $A $B", special_tokens=[("<|begin|>", 0)]
        )
    if style == "configured":
        config["add_bos_token"] = True
    hub.save(str(directory / "tokenizer.json"))
    (directory / "tokenizer_config.json").write_text(json.dumps(config, indent=1) + "\n")
    return hub.get_vocab_size()


def families(vocabulary, kept):
    width, layers = (16, 1) if kept else (32, 2)
    common = dict(
        vocab_size=vocabulary, hidden_size=width, intermediate_size=2 * width, num_hidden_layers=layers,
        num_attention_heads=4, max_position_embeddings=LENGTH, initializer_range=0.4, bos_token_id=0, eos_token_id=1,
        pad_token_id=1, use_cache=True,
    )
    grouped = dict(common, num_key_value_heads=2)
    windows = dict(sliding_window=9, layer_types=["sliding_attention", "full_attention"][:layers])
    yield "llama", LlamaForCausalLM(LlamaConfig(**grouped))
    yield "gpt_neox", GPTNeoXForCausalLM(GPTNeoXConfig(**dict(common, rotary_pct=0.5)))
    if kept:
        return
    yield "llama-tied", LlamaForCausalLM(LlamaConfig(**dict(grouped, tie_word_embeddings=True)))
    yield "qwen3", Qwen3ForCausalLM(Qwen3Config(**dict(grouped, head_dim=16)))
    yield "smollm3", SmolLM3ForCausalLM(SmolLM3Config(**dict(grouped, no_rope_layers=[1, 0])))
    yield "olmo", OlmoForCausalLM(OlmoConfig(**dict(grouped, clip_qkv=2.0)))
    yield "olmo2", Olmo2ForCausalLM(Olmo2Config(**grouped))
    yield "olmo3", Olmo3ForCausalLM(Olmo3Config(**dict(grouped, **windows)))


def requests(rng, count):
    shared = [" ".join(text(rng, 8) for _ in range(2)) + rng.choice(["", " ", "\n\n", "\t "]) for _ in range(4)]
    for at in range(count):
        kind = rng.choice(["continuation"] * 3 + ["text", "generation"])
        if kind == "continuation":
            context = rng.choice(
                [rng.choice(shared), rng.choice(shared) + text(rng, 4), text(rng, 60), "", "<|begin|>" + text(rng, 4)]
            )
            yield {"kind": kind, "context": context, "continuation": rng.choice(["", " ", "  "]) + text(rng, 4)}
        elif kind == "text":
            yield {"kind": kind, "text": rng.choice([text(rng, 5), text(rng, 200), "", "<|begin|>" + text(rng, 9)])}
        else:
            until = rng.choice([[], ["\n"], ["e"], [" the", ","], [text(rng, 1)], ["驴", "o"]])
            settings = {"until": until, "max_gen_toks": rng.choice([1, 5, 20])}
            if rng.random() < 0.3:
                settings.update(do_sample=False, temperature=rng.choice([0.0, 0.7]))
            yield {"kind": kind, "context": rng.choice(shared) + text(rng, rng.choice([3, 60])), "settings": settings}
    # Odd ones.
    for context, continuation in [
        ("", ""), ("x", ""), ("", "<|begin|>"), ("", "<|end|>"), ("", "<|begin|>the"), (" ", "the"), (" \n", ""),
        ("the", "<|end|>"), ("the\u001c", " a"), ("the\u00a0", "a"), ("the\u3000", "梨"), ("<|end|>", " a"),
        ("the", " river" * LENGTH), ("the", " river" * 300), ("the", "e"), ("", " "), ("\u200b", "a"),
    ]:
        yield {"kind": "continuation", "context": context, "continuation": continuation}
    for one in ["", " ", "<|end|>", "<|begin|>", "a" * 5000, "\n"]:
        yield {"kind": "text", "text": one}
    for context, settings in [
        ("", {"until": ["\n"], "max_gen_toks": 4}), ("the", {"until": ["\n"], "max_gen_toks": LENGTH}),
        ("the", {"until": [], "max_gen_toks": LENGTH - 1}), ("the", {"until": ["", "e"], "max_new_tokens": 9}),
        ("<|begin|>the", {"until": "e", "max_gen_toks": 9}), ("the", {"until": ["\n"]}),
    ]:
        yield {"kind": "generation", "context": context, "settings": settings}


def ask(model, one):
    """The harness's answer to one request on its own: its answers depend on what else is in a batch."""
    if one["kind"] == "continuation":
        args = (one["context"], one["continuation"])
        return list(model.loglikelihood([Instance("loglikelihood", {}, args, 0)], disable_tqdm=True)[0])
    if one["kind"] == "text":
        return float(model.loglikelihood_rolling([Instance("loglikelihood_rolling", {}, (one["text"],), 0)], True)[0])
    args = (one["context"], json.loads(json.dumps(one["settings"])))
    return model.generate_until([Instance("generate_until", {}, args, 0)], disable_tqdm=True)[0]


def main():
    out, kept = Path(sys.argv[1]), "--kept" in sys.argv
    torch.set_num_threads(1)
    styles = ["template", "configured"] if kept else ["plain", "template", "configured"]
    for style in styles:
        torch.manual_seed(7)
        rng = random.Random(style)
        scratch = out / f"{style}.tokenizer"
        scratch.mkdir(parents=True, exist_ok=True)
        vocabulary = tokenizer(scratch, rng, style)
        for at, (name, model) in enumerate(families(vocabulary, kept)):
            if kept and at != styles.index(style):
                continue
            if not kept and style != "plain" and name not in ("llama", "gpt_neox", "qwen3"):
                continue
            directory = out / f"{name}-{style}"
            for parameter in model.parameters():
                if parameter.dim() == 1:
                    torch.nn.init.normal_(parameter, 1.0 if parameter.mean() > 0.5 else 0.0, 0.3)
            model.float().save_pretrained(directory)
            for file in scratch.iterdir():
                (directory / file.name).write_bytes(file.read_bytes())
            for added in [None, True, False] if name == "llama" and not kept else [None]:
                harness = HFLM(
                    pretrained=str(directory), device="cpu", dtype="float32", batch_size=1, add_bos_token=added
                )
                answers = []
                for one in requests(random.Random(f"{name} {style} {added}"), 12 if kept else 60):
                    try:
                        answer = ask(harness, one)
                    except (AssertionError, IndexError, ValueError, RuntimeError, TypeError) as error:
                        answer, one = None, dict(one, error=f"{type(error).__name__}: {error}"[:80])
                    answers.append(dict(one, answer=answer))
                suffix = {None: "", True: "-bos", False: "-no-bos"}[added]
                file = directory / f"answers{suffix}.json"
                file.write_text(json.dumps(answers, ensure_ascii=False, indent=0) + "\n")
        for file in scratch.iterdir():
            file.unlink()
        scratch.rmdir()


if __name__ == "__main__":
    main()
