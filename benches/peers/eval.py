"""Makes a model and requests, and answers them with retrace and with lm-evaluation-harness; see ../eval.sh."""

import contextlib
import io
import json
import random
import resource
import subprocess
import sys
import time
from pathlib import Path

WORDS = (
    "the a miller grey donkey carried seven sacks barley over wet hills while two crows argued about snow river stone "
    "lantern seldom quickly because nobody counts pears in winter farmer bread answer question letter north music"
).split()


def sentence(rng, most):
    return " ".join(rng.choice(WORDS) for _ in range(rng.randint(most // 2, most)))


def make_model(directory):
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import LlamaConfig, LlamaForCausalLM

    hub = Tokenizer(models.BPE())
    hub.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    hub.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=16000, min_frequency=1, special_tokens=["<|end|>"], show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )
    hub.train_from_iterator([" " + word for word in WORDS], trainer)
    directory.mkdir()
    hub.save(str(directory / "tokenizer.json"))
    config = {"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": "<|end|>"}
    (directory / "tokenizer_config.json").write_text(json.dumps(config))
    torch.manual_seed(1)
    model = LlamaForCausalLM(LlamaConfig(
        vocab_size=16000, hidden_size=512, intermediate_size=1376, num_hidden_layers=6, num_attention_heads=8,
        num_key_value_heads=8, max_position_embeddings=1024, initializer_range=0.05, bos_token_id=None,
        eos_token_id=0, pad_token_id=0,
    ))
    model.save_pretrained(directory)
    return sum(parameter.numel() for parameter in model.parameters())


def make_requests(documents):
    """By kind. Five examples are before each question: others for each document, or the same."""
    rng = random.Random(3)
    example = lambda: f"Question: {sentence(rng, 40)}?\nAnswer: {sentence(rng, 8)}"
    choices, shared = [], []
    same = "\n\n".join(example() for _ in range(5))
    for _ in range(documents):
        question = f"\n\nQuestion: {sentence(rng, 40)}?\nAnswer:"
        own = "\n\n".join(example() for _ in range(5))
        for _ in range(4):
            continuation = " " + sentence(rng, 10)
            choices.append({"context": own + question, "continuation": continuation})
            shared.append({"context": same + question, "continuation": continuation})
    letters = [dict(one, continuation=" " + "ABCD"[at % 4]) for at, one in enumerate(shared)]
    texts = [{"text": sentence(rng, rng.choice([60, 300, 900, 2500]))} for _ in range(max(4, documents // 2))]
    generations = [
        {"context": same + f"\n\nQuestion: {sentence(rng, 40)}?\nAnswer:", "until": ["\n\n"], "max_gen_toks": 64}
        for _ in range(documents)
    ]
    return {
        "choices, examples of its own": choices, "choices, the same examples": shared,
        "one-token choices, the same examples": letters, "rolling": texts, "generation": generations,
    }


def harness(directory, requests, threads):
    """The answers and the seconds, at the best of several batch sizes."""
    import torch
    from lm_eval.api.instance import Instance
    from lm_eval.models.huggingface import HFLM

    torch.set_num_threads(threads)
    kind = next(name for name in ("text", "continuation", "until") if name in requests[0])
    best = None
    for batch in (1, 4, 16, 64) if kind != "text" else (1, 4, 16):
        model = HFLM(pretrained=str(directory), device="cpu", dtype="float32", batch_size=batch)
        if kind == "text":
            call, args = model.loglikelihood_rolling, lambda one: (one["text"],)
        elif kind == "continuation":
            call, args = model.loglikelihood, lambda one: (one["context"], one["continuation"])
        else:
            call = model.generate_until
            args = lambda one: (one["context"], {"until": list(one["until"]), "max_gen_toks": one["max_gen_toks"]})
        instances = [Instance("x", {}, args(one), at) for at, one in enumerate(requests)]
        warm = call(instances[:2], disable_tqdm=True)
        began, before = time.perf_counter(), time.process_time()
        answers = call(instances, disable_tqdm=True)
        seconds, busy = time.perf_counter() - began, time.process_time() - before
        assert len(warm) == 2
        if best is None or seconds < best[1]:
            best = answers, seconds, batch, busy
    return best


def used():
    """CPU seconds of the processes that have ended: with what retrace needs to load the model."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def off(ours, theirs):
    if isinstance(theirs, str):
        return float(ours != theirs)
    return abs((ours if isinstance(ours, float) else ours[0]) - (theirs if isinstance(theirs, float) else theirs[0]))


def main():
    directory, program, documents = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
    model = directory / "model"
    print(f"a Llama of {make_model(model) / 1e6:.1f} M parameters, {documents} documents")
    for threads in map(int, sys.argv[4:]):
        for name, requests in make_requests(documents).items():
            file, answers = directory / "requests", directory / "answers"
            file.write_text("".join(json.dumps(one) + "\n" for one in requests))
            runs, cpu = [], []
            for _ in range(2):
                before = used()
                done = subprocess.run(
                    [program, model, file, answers, str(threads)], check=True, capture_output=True, text=True
                )
                runs.append(float(done.stdout.split()[1]))
                cpu.append(used() - before)
            ours = [json.loads(line) for line in answers.read_text().splitlines()]
            with contextlib.redirect_stderr(io.StringIO()), contextlib.redirect_stdout(io.StringIO()):
                theirs, seconds, batch, busy = harness(model, requests, threads)
            differ = [off(a, b) for a, b in zip(ours, theirs)]
            most = f"{sum(differ):.0f} texts differ" if name == "generation" else f"largest difference {max(differ):.1e}"
            count = len(requests)
            print(
                f"{threads} threads, {name}: retrace {count / min(runs):.1f}/s, lm-eval {count / seconds:.1f}/s "
                f"(batches of {batch}), ratio {seconds / min(runs):.2f}, of CPU seconds {busy / min(cpu):.2f}, {most}",
                flush=True,
            )


main()
