//! What the name of a checkpoint says: `step-000120`, `stage2-ingredient1-step5000-tokens11B`.
//!
//! Releases name their checkpoints in their own ways. This is the one place that reads such names:
//!
//! | name | says |
//! |---|---|
//! | `step-000120`, `step1000`, `global_step143000`, `step1000-unsharded` | the step |
//! | `checkpoint-500` (transformers), `iter_0002384` (Megatron) | the step |
//! | `stage_1_0065000` (LLM360 K2-V2) | stage, step |
//! | `stage2-ingredient1-step5000-tokens11B` (OLMo) | stage, ingredient, step, tokens |
//! | `ckpt_010` (LLM360 Amber) | which checkpoint it is in its series, not the step |
//! | `hf_ckpt/16.78B` (MAP-Neo), as a path | tokens |
//! | `main`, `final`, `model-00001-of-00003` | nothing |
//!
//! Nothing is added that the name does not say.

use crate::{Step, Tokens};

/// What the name of a checkpoint says. A name that says nothing is [`CheckpointName::default`].
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct CheckpointName<'a> {
    /// The training step: the number of updates.
    pub step: Option<Step>,
    /// The tokens, rounded as in the name: `tokens5B` is 5,000,000,000.
    pub tokens: Option<Tokens>,
    /// The number of the checkpoint in its series, if the name counts checkpoints and not steps: `ckpt_010`.
    pub ordinal: Option<u64>,
    /// The stage of training: `stage2`.
    pub stage: Option<u64>,
    /// Which of the models that are averaged later: `ingredient1`.
    pub ingredient: Option<u64>,
    /// The text before the word and number of the step, without separators: for example the stage, or the name of a
    /// model. Empty if the name has no step.
    pub before: &'a str,
}

/// What the checkpoints of a series are counted in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum CountedIn {
    /// Training steps.
    Steps,
    /// Checkpoints.
    Checkpoints,
    /// Tokens.
    Tokens,
}

impl CountedIn {
    /// The unit as a word.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Steps => "step",
            Self::Checkpoints => "checkpoint",
            Self::Tokens => "token",
        }
    }
}

/// The position of a checkpoint in a series of others, from its path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InSeries<'a> {
    /// The path up to the number: the same for all checkpoints of the series.
    pub series: &'a str,
    /// What the number counts.
    pub counted_in: CountedIn,
    /// The number.
    pub number: u64,
}

/// The words before a step's number, the most reliable first.
const STEP_WORDS: [&str; 5] = ["global_step", "step", "checkpoint", "iteration", "iter"];
/// The word before a checkpoint's number in its series.
const ORDINAL_WORD: &str = "ckpt";

impl<'a> CheckpointName<'a> {
    /// Reads the name of a checkpoint: of its directory or file, or a revision on a hub. Upper and lower case are
    /// equivalent.
    pub fn of(name: &'a str) -> Self {
        let step = step(name);
        Self {
            step: step.map(|found| Step(found.number)),
            tokens: last_after(name, "tokens", count).map(|found| Tokens(found.number)),
            ordinal: last_after(name, ORDINAL_WORD, whole).map(|found| found.number),
            stage: last_after(name, "stage", whole).map(|found| found.number),
            ingredient: last_after(name, "ingredient", whole).map(|found| found.number),
            before: step.map_or("", |found| name[..found.word].trim_end_matches(['-', '_'])),
        }
    }

    /// The name of a checkpoint that retrace makes: `step-000120`.
    pub fn of_step(step: Step) -> String {
        format!("step-{:06}", step.get())
    }

    /// The position in a series of the checkpoint at `path` (parts separated by `/`): from the last part that has a
    /// step, a number of the checkpoint, or, directly in a directory of checkpoints, a number of tokens. `None` if no
    /// part has one.
    pub fn in_path(path: &str) -> Option<InSeries<'_>> {
        let (mut begin, mut directory, mut last) = (0, "", None);
        for part in path.split('/') {
            let of_checkpoints = ["ckpt", "checkpoint"].iter().any(|word| find(directory, word).next().is_some());
            let bare = || count(part).filter(|(_, length)| *length == part.len() && of_checkpoints);
            let found = step(part).map(|found| (CountedIn::Steps, found.number, found.digits));
            let found = found.or_else(|| {
                last_after(part, ORDINAL_WORD, whole).map(|found| (CountedIn::Checkpoints, found.number, found.digits))
            });
            let found = found.or_else(|| {
                let (number, _) = bare()?;
                let plain = part.bytes().all(|byte| byte.is_ascii_digit());
                Some((if plain { CountedIn::Checkpoints } else { CountedIn::Tokens }, number, 0))
            });
            if let Some((counted_in, number, digits)) = found {
                last = Some(InSeries { series: &path[..begin + digits], counted_in, number });
            }
            begin += part.len() + 1;
            directory = part;
        }
        last
    }
}

/// A number found after a word.
#[derive(Debug, Clone, Copy)]
struct Found {
    number: u64,
    /// Start of the word.
    word: usize,
    /// Start of the digits.
    digits: usize,
}

/// The step in a name.
fn step(name: &str) -> Option<Found> {
    STEP_WORDS.iter().find_map(|word| last_after(name, word, whole)).or_else(|| after_stage(name))
}

/// The step in a name that ends with stage and step, of at least four digits: `stage_1_0065000`.
fn after_stage(name: &str) -> Option<Found> {
    let stage = last_after(name, "stage", whole)?;
    let (_, length) = whole(&name[stage.digits..])?;
    let number = name[stage.digits + length..].strip_prefix(['-', '_'])?;
    let (step, digits) = whole(number)?;
    let at = name.len() - number.len();
    (digits == number.len() && digits >= 4).then_some(Found { number: step, word: at, digits: at })
}

/// The number after the last `word` that has one, as `read` reads it (it returns the number and its length). The word
/// must be a whole word (`misstep5` does not match), and one of `-`, `_` and `=` may be between the two.
fn last_after(name: &str, word: &str, read: impl Fn(&str) -> Option<(u64, usize)>) -> Option<Found> {
    let mut found: Vec<usize> = find(name, word).collect();
    found.reverse();
    found.into_iter().find_map(|at| {
        if name[..at].ends_with(char::is_alphanumeric) {
            return None;
        }
        let rest = &name[at + word.len()..];
        let number = rest.strip_prefix(['-', '_', '=']).unwrap_or(rest);
        Some(Found { number: read(number)?.0, word: at, digits: name.len() - number.len() })
    })
}

/// The positions of an ASCII `word` in `text`, in upper or lower case.
fn find(text: &str, word: &str) -> impl Iterator<Item = usize> {
    let (bytes, word) = (text.as_bytes(), word.as_bytes());
    bytes.windows(word.len()).enumerate().filter(|(_, part)| part.eq_ignore_ascii_case(word)).map(|(at, _)| at)
}

/// The whole number at the start of `text`, and its length. A number followed by more letters, a fraction, the number
/// of a shard (`00001-of-00003`) and a number of more than 64 bits do not count.
fn whole(text: &str) -> Option<(u64, usize)> {
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let rest = &text[digits..];
    let of_shards = rest.strip_prefix("-of-").is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()));
    if of_shards || goes_on(rest) {
        return None;
    }
    Some((text[..digits].parse().ok().filter(|_| digits > 0)?, digits))
}

/// The count at the start of `text`, in ones, thousands, millions, billions or trillions (`16.78B`), and its length.
/// `None` if it is not a whole number or has more than 64 bits.
fn count(text: &str) -> Option<(u64, usize)> {
    let digits = |text: &str| text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let before = digits(text);
    let fraction = text[before..].strip_prefix('.').map_or("", |rest| &rest[..digits(rest)]);
    let mut length = before + if fraction.is_empty() { 0 } else { 1 + fraction.len() };
    let zeros = match text.as_bytes().get(length) {
        Some(b'K' | b'k') => 3,
        Some(b'M') => 6,
        Some(b'B') => 9,
        Some(b'T') => 12,
        _ => 0,
    };
    length += usize::from(zeros > 0);
    if before == 0 || fraction.len() > zeros || goes_on(&text[length..]) {
        return None;
    }
    let written = format!("{}{fraction}{}", &text[..before], "0".repeat(zeros - fraction.len()));
    Some((written.parse().ok()?, length))
}

/// Whether what follows a number belongs to it.
fn goes_on(rest: &str) -> bool {
    let digit = |text: &str| text.starts_with(|c: char| c.is_ascii_digit());
    rest.starts_with(char::is_alphanumeric) || rest.strip_prefix(['.', ',']).is_some_and(digit)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Step, tokens, ordinal, stage, ingredient.
    fn said(name: &str) -> [Option<u64>; 5] {
        let CheckpointName { step, tokens, ordinal, stage, ingredient, .. } = CheckpointName::of(name);
        [step.map(Step::get), tokens.map(Tokens::get), ordinal, stage, ingredient]
    }

    /// Names as releases have them; the expected numbers are from the releases' own descriptions.
    #[test]
    fn names_of_real_releases() {
        const B: u64 = 1_000_000_000;
        for (name, step, tokens) in [
            // This program.
            ("step-000120", Some(120), None),
            // Pythia, and its checkpoints of GPT-NeoX.
            ("step1000", Some(1000), None),
            ("step0", Some(0), None),
            ("step143000", Some(143_000), None),
            ("global_step143000", Some(143_000), None),
            ("pythia-70m-5shot-global_step63000_eval_results_11.json", Some(63_000), None),
            ("long-intervention-1.3b-deduped-step63000_eval_results_01.json", Some(63_000), None),
            // OLMo 1 to 3.
            ("step738020-tokens3095B", Some(738_020), Some(3095 * B)),
            ("step1000-unsharded", Some(1000), None),
            ("step11921+11000+10000-nooptim-reshard32", Some(11_921), None),
            // MAP-Neo: Megatron.
            ("iter_0002384", Some(2384), None),
            ("iter_0444213", Some(444_213), None),
            // transformers, SmolLM3, Lightning.
            ("checkpoint-500", Some(500), None),
            ("lc-4k-to-32k-step-20000", Some(20_000), None),
            ("epoch=3-step=1000.ckpt", Some(1000), None),
            ("step_7.safetensors", Some(7), None),
            ("Step-12", Some(12), None),
            ("iteration_9", Some(9), None),
            // None of these names has a step.
            ("main", None, None),
            ("final", None, None),
            ("neox-ckpt-pythia-70m-deduped-v1", None, None),
            ("model-00001-of-00003.safetensors", None, None),
            ("checkpoint-00001-of-00003.safetensors", None, None),
            ("mp_rank_00", None, None),
            ("ckpt.pt", None, None),
            ("160m-data-seed1", None, None),
        ] {
            assert_eq!(said(name), [step, tokens, None, None, None], "{name}");
        }
        // OLMo's stages.
        assert_eq!(said("stage1-step1000-tokens5B"), [Some(1000), Some(5 * B), None, Some(1), None]);
        let ingredient = "stage2-ingredient1-step5000-tokens11B";
        assert_eq!(said(ingredient), [Some(5000), Some(11 * B), None, Some(2), Some(1)]);
        // K2-V2.
        assert_eq!(said("stage_1_0065000"), [Some(65_000), None, None, Some(1), None]);
        assert_eq!(said("stage_1_65"), [None, None, None, Some(1), None]);
        // OpenEuroLLM.
        assert_eq!(said("checkpoint_0005000"), [Some(5000), None, None, None, None]);
        // Amber: one checkpoint for each of 360 chunks of data.
        assert_eq!(said("ckpt_000"), [None, None, Some(0), None, None]);
        assert_eq!(said("ckpt_358"), [None, None, Some(358), None, None]);
        assert_eq!(said("ckpt-12"), [None, None, Some(12), None, None]);
    }

    #[test]
    fn names_that_would_be_read_wrongly_say_nothing() {
        for name in [
            "",
            "/",
            "step",
            "step-",
            "steps",
            "stepping-stone",
            "misstep5",
            "step99999999999999999999",
            "step18446744073709551616",
            "step--5",
            "step+5",
            "step -5",
            "step1.5",
            "step1,000",
            "step10k",
            "step1e3",
            "step0x10",
            "step١٢",
            "step１２",
            "step5²",
            "ｓｔｅｐ5",
            "tokens",
            "tokens1.2345",
            "tokens5Q",
            "tokens99999999999T",
            "ckpt",
            "stage",
        ] {
            assert_eq!(CheckpointName::of(name), CheckpointName::default(), "{name}");
        }
        // The largest number; zeros before a number are ignored.
        assert_eq!(said("step18446744073709551615")[0], Some(u64::MAX));
        assert_eq!(said(&format!("step{}7", "0".repeat(1000)))[0], Some(7));
        assert_eq!(said("tokens16.78B")[1], Some(16_780_000_000));
        assert_eq!(said("tokens4194304000")[1], Some(4_194_304_000));
    }

    #[test]
    fn what_stands_before_the_step() {
        for (name, before) in [
            ("step1000", ""),
            ("global_step1000", ""),
            ("checkpoint-5", ""),
            ("stage2-ingredient1-step5000-tokens11B", "stage2-ingredient1"),
            ("pythia-70m_step5", "pythia-70m"),
            ("k2_stage_1_0065000", "k2_stage_1"),
            ("main", ""),
        ] {
            assert_eq!(CheckpointName::of(name).before, before, "{name}");
        }
    }

    #[test]
    fn places_in_series() {
        use CountedIn::{Checkpoints, Steps, Tokens};
        for (path, expected) in [
            ("runs/base/step-000120/model.safetensors", Some(("runs/base/step-", Steps, 120))),
            ("iter_0002384/mp_rank_00/model_optim_rng.pt", Some(("iter_", Steps, 2384))),
            ("stage1-step1000-tokens5B/model.safetensors", Some(("stage1-step", Steps, 1000))),
            ("a/step5/b/step-7", Some(("a/step5/b/step-", Steps, 7))),
            ("amber/ckpt_010/pytorch_model-00001-of-00003.bin", Some(("amber/ckpt_", Checkpoints, 10))),
            ("hf_ckpt/16.78B/model.safetensors", Some(("hf_ckpt/", Tokens, 16_780_000_000))),
            ("checkpoints/1000/model.pt", Some(("checkpoints/", Checkpoints, 1000))),
            // The size of a model.
            ("bias-evals/winobias/1.4B/results.json", None),
            ("main/model.safetensors", None),
            ("", None),
        ] {
            let found = CheckpointName::in_path(path);
            assert_eq!(found.map(|found| (found.series, found.counted_in, found.number)), expected, "{path}");
        }
    }

    proptest! {
        /// A name that was written can be read again, and the step is found whatever text is around it.
        #[test]
        fn a_step_is_found_again(step: u64, before in "([a-z0-9]{1,8}[-_])?", word in "(global_)?step|checkpoint|iter", between in "[-_=]?", after in "([-_+./][a-z]*)?") {
            let ours = CheckpointName::of_step(Step(step));
            prop_assert_eq!(CheckpointName::of(&ours).step, Some(Step(step)));
            let name = format!("{before}{word}{between}{step}{after}");
            prop_assert_eq!(CheckpointName::of(&name).step, Some(Step(step)), "{}", name);
        }

        #[test]
        fn any_text_is_survived(text in any::<String>(), near in "((step|ckpt|tokens|iter|stage)[-_=]?[0-9.]{0,25}[BkK²é/-]{0,2}){0,4}") {
            for text in [&text, &near] {
                let name = CheckpointName::of(text);
                prop_assert!(text.starts_with(name.before));
                let path = CheckpointName::in_path(text);
                prop_assert!(path.is_none_or(|path| text.starts_with(path.series)));
            }
        }
    }
}
