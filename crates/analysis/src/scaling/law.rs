//! The laws' losses once their parameters are known.

use retrace_spec::recipe::scaling::LawName;

/// The law's loss at N = `params` and D = `tokens`, of which `unique` are no repetitions. NaN where the law
/// has no loss. `p` are its parameters in the order of [`LawName::parameters`].
pub(super) fn loss(law: LawName, p: &[f64], params: f64, tokens: f64, unique: f64) -> f64 {
    let additive = |e: f64, a: f64, b: f64, alpha: f64, beta: f64, n: f64, d: f64| {
        e + a * libm::pow(n, -alpha) + b * libm::pow(d, -beta)
    };
    match (law, p) {
        (LawName::Kaplan, &[n_c, d_c, alpha_n, alpha_d]) => {
            libm::pow(libm::pow(n_c / params, alpha_n / alpha_d) + d_c / tokens, alpha_d)
        }
        (LawName::Hoffmann3 | LawName::VariableProjection, &[e, a, b, alpha, beta])
        | (LawName::TwoStep, &[e, a, b, alpha, beta, ..]) => additive(e, a, b, alpha, beta, params, tokens),
        (LawName::Neo, &[e, a, b, alpha, beta, d]) => {
            let loss = additive(e, a, b, alpha, beta, params, tokens) - d * libm::log(tokens);
            if loss > 0.0 { loss } else { f64::NAN }
        }
        (LawName::DataConstrained, &[e, a, b, alpha, beta, r_d, r_n]) => {
            let parts = Repetition::new(&[e, a, b, alpha, beta], params, tokens, unique);
            let worth = |unique: f64, repeats: f64, star: f64| unique * (1.0 - star * libm::expm1(-repeats / star));
            let n = worth(parts.unique_params, parts.params_repeats, r_n);
            let d = worth(parts.unique_tokens, parts.tokens_repeats, r_d);
            additive(e, a, b, alpha, beta, n, d)
        }
        (LawName::Bounded, &[e, start, a, b, c, alpha, beta, gamma, delta]) => {
            let h = a * libm::pow(params, -alpha)
                + b * libm::pow(tokens, -beta)
                + c * libm::pow(params, gamma) * libm::pow(unique, -delta);
            e + (start - e) * h / (1.0 + h)
        }
        _ => f64::NAN,
    }
}

/// The parts of N and D in the data-constrained law (Muennighoff et al. 2023, section 3).
#[derive(Debug, Clone, Copy)]
pub(super) struct Repetition {
    /// U_N: the parameters that are best for U_D tokens without repetition, or N if it is smaller.
    pub(super) unique_params: f64,
    /// R_N = N / U_N - 1.
    pub(super) params_repeats: f64,
    /// U_D.
    pub(super) unique_tokens: f64,
    /// R_D = D / U_D - 1.
    pub(super) tokens_repeats: f64,
}

impl Repetition {
    /// By the law E + A/N^α + B/D^β: with G = (αA/βB)^(1/(α+β)), N_opt = G (C/6)^(β/(α+β)) and D_opt = (C/6)^(α/(α+β)) /
    /// G, so that N_opt at the compute for which D_opt is U_D is G (G U_D)^(β/α).
    pub(super) fn new([_, a, b, alpha, beta]: &[f64; 5], params: f64, tokens: f64, unique: f64) -> Self {
        let g = libm::pow(alpha * a / (beta * b), 1.0 / (alpha + beta));
        let best = g * libm::pow(g * unique, beta / alpha);
        let unique_params = if best < params { best } else { params };
        Self {
            unique_params,
            params_repeats: params / unique_params - 1.0,
            unique_tokens: unique,
            tokens_repeats: tokens / unique - 1.0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The constants and the predictions that Muennighoff et al. publish with their runs (parametric_fit.ipynb).
    #[test]
    fn the_data_constrained_law_gives_the_published_predictions() {
        let (a, b, e): (f64, f64, f64) = (6.255_414, 7.304_997_4, 0.625_480_4);
        let p = [e.exp(), a.exp(), b.exp(), 0.352_659_6, 0.352_659_6, 15.387_756, 5.309_743];
        for (params, tokens, unique, published) in [
            (2.81e9, 4e9, 4e9, 2.808_707_245_973_6),
            (2.81e9, 8e9, 4e9, 2.678_851_691_389_38),
            (2.81e9, 16e9, 4e9, 2.581_830_286_081_437_4),
        ] {
            let loss = loss(LawName::DataConstrained, &p, params, tokens, unique);
            assert!((loss - published).abs() < 1e-6, "{loss}, not {published}");
        }
    }
}
