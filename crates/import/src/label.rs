//! The parts of a checkpoint's name: `stage2-ingredient1-step1000-tokens5B`.

/// What a label states. Nothing is filled in that it does not.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Label {
    /// The step: `step1000`, `checkpoint-1000`, `iter_0001000`, `global_step1000`.
    pub(crate) step: Option<u64>,
    /// Tokens, as far as they are rounded in the label: `tokens5B`.
    pub(crate) tokens: Option<u64>,
}

impl Label {
    /// Reads a label, or a path that ends in one.
    pub(crate) fn of(text: &str) -> Self {
        let step = ["step", "checkpoint", "iter"].into_iter().find_map(|word| number_after(text, word));
        let tokens = number_after(text, "tokens").and_then(|(number, rest)| {
            let unit = match rest.chars().next() {
                Some('M') => 1_000_000,
                Some('B') => 1_000_000_000,
                Some('T') => 1_000_000_000_000,
                _ => 1,
            };
            number.checked_mul(unit)
        });
        Self { step: step.map(|(step, _)| step), tokens }
    }
}

/// The number after the last time that `word` stands in the text with one after it, and the text
/// after that: `step12`, `step_12`, `step-12`, `step=12`.
fn number_after<'a>(text: &'a str, word: &str) -> Option<(u64, &'a str)> {
    text.rmatch_indices(word).find_map(|(at, _)| {
        let rest = &text[at + word.len()..];
        let digits = rest.strip_prefix(['-', '_', '=']).unwrap_or(rest);
        let after = digits.trim_start_matches(|c: char| c.is_ascii_digit());
        Some((digits[..digits.len() - after.len()].parse().ok()?, after))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_of_real_releases() {
        for (text, step, tokens) in [
            ("step3000", Some(3000), None),
            ("step1000-unsharded", Some(1000), None),
            ("stage1-step1000-tokens5B", Some(1000), Some(5_000_000_000)),
            ("stage2-ingredient1-step11931-tokens50B", Some(11_931), Some(50_000_000_000)),
            ("step738020-tokens3095B", Some(738_020), Some(3_095_000_000_000)),
            ("runs/mine/checkpoint-500", Some(500), None),
            ("iter_0002384", Some(2384), None),
            ("global_step143000", Some(143_000), None),
            ("step11921+11000+10000-nooptim-reshard32", Some(11_921), None),
            ("ckpt_100", None, None),
            ("main", None, None),
            ("stepping-stone", None, None),
            ("step99999999999999999999", None, None),
            ("", None, None),
        ] {
            assert_eq!(Label::of(text), Label { step, tokens }, "{text}");
        }
    }
}
