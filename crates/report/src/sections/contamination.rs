//! The section about the items of benchmarks in the corpus.

use maud::{Markup, html};
use retrace_analysis::contamination::Verdict;

use super::section;
use crate::contamination::{ContaminationCounts, Rate, RunExposure, in_words, not_searched, unsearched, verdict_name};
use crate::numbers::{grouped, percent};
use crate::release::{Contaminated, Example, FirstSeen, Leaks, Split};

pub(crate) fn contamination(found: &Contaminated) -> Markup {
    let Contaminated { counts, benchmarks } = found;
    let first = counts.methods.first();
    let leaked: u64 =
        counts.benchmarks().filter(|rate| Some(&rate.method) == first).map(|rate| rate.leaked.count).sum();
    let lead = html! {
        @match leaked {
            0 => "No document of the corpus leaks an item of these benchmarks.",
            1 => "One benchmark item leaks: a document of the corpus has it.",
            n => { (grouped(n)) " benchmark items leak: a document of the corpus has them." },
        }
        " That is: it has the question, or so much of it or of a long answer that it can only be the item, whatever case, width, punctuation and script. What is no leak is counted apart: a text with other numbers, a passage, an answer, a phrase that many documents have."
    };
    let body = html! {
        (rates(counts))
        @if !counts.runs.is_empty() && leaked > 0 { (exposures(&counts.runs)) }
        @else { @for run in counts.runs.iter().filter(|of| of.unsearched > 0) { p { (unsearched(run)) "." } } }
        @for leaks in benchmarks { (one_benchmark(leaks)) }
    };
    section("contamination", "Contamination", &lead, &body)
}

/// The items of each benchmark by what was found of them, and of impossible items.
fn rates(counts: &ContaminationCounts) -> Markup {
    let several = counts.methods.len() > 1;
    let others = |rate: &Rate| {
        let others = rate.verdicts.iter().filter(|(verdict, _)| *verdict != Verdict::Leak);
        others.map(|(verdict, items)| format!("{} {}", verdict_name(*verdict), grouped(*items))).collect::<Vec<_>>()
    };
    let alarms = |rate: &Rate| {
        let all = counts.false_alarms.iter().flatten();
        let of = all.filter(|alarms| alarms.method == rate.method && alarms.benchmark == rate.benchmark);
        of.fold((0, 0), |sum, alarms| (sum.0 + alarms.flagged.count, sum.1 + alarms.flagged.of))
    };
    html! {
        div.scroll {
            table {
                thead {
                    tr {
                        th { "Benchmark" }
                        @if several { th { "Method" } }
                        th.num { "Items" } th.num { "Leaked" } th { "Share (95 %)" } th.num { "With the answer" }
                        th { "No leak" }
                        @if counts.false_alarms.is_some() { th.num { "Impossible items flagged" } }
                    }
                }
                tbody {
                    @for rate in counts.benchmarks() {
                        @let others = others(rate);
                        tr {
                            td { strong { (rate.benchmark) } }
                            @if several { td { code { (rate.method.name()) } } }
                            td.num { (grouped(rate.leaked.of)) }
                            td.num { (grouped(rate.leaked.count)) }
                            td { (in_words(&rate.leaked)) }
                            td.num { (grouped(rate.with_answer)) }
                            td { @if others.is_empty() { "–" } @else { (others.join(", ")) } }
                            @if counts.false_alarms.is_some() {
                                @let (flagged, of) = alarms(rate);
                                td.num { (grouped(flagged)) " of " (grouped(of)) }
                            }
                        }
                    }
                }
            }
        }
        @for what in not_searched(counts.rates.iter()) { p { "Not searched: " (what) "." } }
        @if counts.leaks_left_out() > 0 {
            p { (grouped(counts.leaks_left_out())) " more documents with a leak were counted, and are not in the table." }
        }
    }
}

fn exposures(runs: &[RunExposure]) -> Markup {
    let absent: Vec<&RunExposure> = runs.iter().filter(|of| of.absent > 0 && of.unsearched > 0).collect();
    html! {
        div.scroll {
            table {
                caption { "Documents with a leak that each run used" }
                thead { tr { th { "Run" } th.num { "Used" } th.num { "Not used" } th.num { "In no token shard of the run" } } }
                tbody {
                    @for RunExposure { run, documents, used, absent, .. } in runs {
                        tr {
                            td { (run) }
                            td.num { (grouped(*used)) }
                            td.num { (grouped(documents.saturating_sub(used + absent))) }
                            td.num { (grouped(*absent)) }
                        }
                    }
                }
            }
        }
        @for run in runs.iter().filter(|of| of.unsearched > 0) { p { (unsearched(run)) "." } }
        @if !absent.is_empty() {
            p {
                "Of a document that is in no token shard of a run nothing is known: the run may have used it from another shard, for example a cleaned one."
            }
        }
    }
}

fn one_benchmark(leaks: &Leaks) -> Markup {
    html! {
        div.benchmark {
            h3 { (leaks.benchmark) }
            @if !leaks.first.is_empty() { (first_seen(&leaks.first, leaks.items)) }
            @if !leaks.accuracy.is_empty() { (splits(&leaks.accuracy)) }
            (examples(leaks))
        }
    }
}

fn first_seen(runs: &[FirstSeen], items: u64) -> Markup {
    html! {
        div.scroll {
            table {
                caption { "When each run saw these items" }
                thead { tr { th { "Run" } th.num { "Items" } th.num { "The first at step" } th.num { "All of them by step" } } }
                tbody {
                    @for of in runs {
                        tr {
                            td { (of.run) }
                            td.num { (grouped(of.items)) " of " (grouped(items)) }
                            td.num { (grouped(of.first)) }
                            td.num { (grouped(of.all)) }
                        }
                    }
                }
            }
        }
    }
}

fn examples(leaks: &Leaks) -> Markup {
    html! {
        div.scroll {
            table {
                caption { @if leaks.items as usize > leaks.examples.len() { "The first of them" } @else { "Where they are" } }
                thead { tr { th { "Item" } th { "Document" } th.num { "Found" } th { "First used" } } }
                tbody {
                    @for Example { item, document, place, score, with_answer, seen } in &leaks.examples {
                        tr {
                            td { (item) @if *with_answer { br; small { "with the answer" } } }
                            td { span.path { (document) } br; small { (place) } }
                            td.num { (percent(*score)) }
                            td {
                                @if let Some((run, step)) = seen { "step " (grouped(*step)) @if !run.is_empty() { br; small { (run) } } }
                                @else { "not in a run" }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn splits(splits: &[Split]) -> Markup {
    let accuracy = |(of, right): (u64, u64)| {
        html! {
            @if of == 0 { "–" } @else { (percent(right as f64 / of as f64)) small { " " (grouped(right)) "/" (grouped(of)) } }
        }
    };
    html! {
        div.scroll {
            table {
                caption { "Accuracy at the last checkpoint" }
                thead { tr { th { "Run" } th.num { "Step" } th.num { "Leaked items" } th.num { "Other items" } } }
                tbody {
                    @for split in splits {
                        tr {
                            td { (split.run) }
                            td.num { (grouped(split.step)) }
                            td.num { (accuracy(split.leaked)) }
                            td.num { (accuracy(split.clean)) }
                        }
                    }
                }
            }
        }
    }
}
