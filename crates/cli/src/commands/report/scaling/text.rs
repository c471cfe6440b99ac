//! The report as text.

use std::io::{self, Write};

use retrace_analysis::scaling::{LawReport, Prediction, Report};

use crate::terminal::{Terminal, Tone};

pub(super) fn number(value: f64) -> String {
    match value.abs() {
        size if size == 0.0 || (1e-3..1e5).contains(&size) => format!("{value:.4}"),
        _ => format!("{value:.4e}"),
    }
}

/// A parameter in at least so many significant digits.
fn parameter(value: f64, digits: u32) -> String {
    let after = digits.saturating_sub(1) as usize;
    match value.abs() {
        size if size == 0.0 || (1e-3..1e5).contains(&size) => {
            let before = size.max(1e-3).log10().floor() as i64;
            let places = (after as i64 - before).clamp(4, 20) as usize;
            format!("{value:.places$}")
        }
        _ => format!("{value:.*e}", after.max(4)),
    }
}

pub(super) fn between(interval: Option<[f64; 2]>) -> String {
    interval.map_or_else(String::new, |[low, high]| format!("{} to {}", number(low), number(high)))
}

pub(super) fn print(out: &mut dyn Write, report: &Report, terminal: &Terminal) -> io::Result<()> {
    for law in report.fitted() {
        print_law(out, law, terminal)?;
    }
    let tested: Vec<_> = report.compared.iter().filter_map(|of| Some((of.law, of.tested.as_ref()?))).collect();
    if !tested.is_empty() {
        writeln!(out, "error on held-out compute")?;
        for (law, test) in tested {
            let times = format!("{} points, up to {:.1} times the compute that was fitted", test.held, test.factor);
            writeln!(out, "  {:<20} {:>7.2} %  {times}", law.name(), 100.0 * test.error)?;
        }
    }
    Ok(())
}

fn print_law(out: &mut dyn Write, law: &LawReport, terminal: &Terminal) -> io::Result<()> {
    writeln!(out, "{}", terminal.tone(Tone::Good, law.law.name()))?;
    for name in law.law.parameters() {
        if let Some(value) = law.parameters.get(*name) {
            writeln!(
                out,
                "  {name:<8} {:>12}  {}",
                parameter(*value, law.digits()),
                between(law.intervals.get(*name).copied())
            )?;
        }
    }
    if let (Some(objective), Some(r2), Some(starts)) = (law.objective, law.r2, law.starts) {
        let searched = format!("{} of {} starts reached it", starts.reached, starts.tried);
        writeln!(out, "  objective {objective:.6e}, {searched}; R² {r2:.4} on the fitted points")?;
    }
    for predicted in law.predictions.iter().flatten() {
        let Prediction {
            params, tokens, loss, loss_interval, run_interval, accuracy, accuracy_interval, warnings, ..
        } = predicted;
        let loss = loss.map_or_else(|| "no loss".to_owned(), |loss| format!("loss {}", number(loss)));
        writeln!(out, "  at {params:.3e} parameters and {tokens:.3e} tokens: {loss}")?;
        if let (Some(_), Some(_)) = (loss_interval, run_interval) {
            writeln!(out, "    the law: {}; a run: {}", between(*loss_interval), between(*run_interval))?;
        }
        if let Some(accuracy) = accuracy {
            let interval = accuracy_interval.map_or_else(String::new, |of| format!(" ({})", between(Some(of))));
            writeln!(out, "    accuracy {}{interval}", number(*accuracy))?;
        }
        warnings.iter().try_for_each(|warning| writeln!(out, "    {warning}"))?;
    }
    if law.predictions.iter().any(Option::is_none) {
        writeln!(out, "  it has no optimum for one of the computes")?;
    }
    Ok(())
}
