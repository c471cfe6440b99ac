//! The page: rates first, then every hit beside its item.

use std::collections::BTreeMap;

use maud::{Markup, html};
use retrace_analysis::contamination::{Method, Verdict};

use super::{
    Band, ContaminationReport, Group, Hit, InputFile, Marked, Rate, Share, form_name, method_means, not_searched,
    part_name, verdict_means, verdict_name,
};
use crate::numbers::{brief, counted, grouped, percent, size};
use crate::page::document;
use crate::sections::section;

/// Of an item with a verdict, so many documents are shown.
const DOCUMENTS_OF_ITEM: usize = 3;
/// Of a benchmark and a verdict, so many items are shown.
const ITEMS_OF_VERDICT: usize = 100;
/// A longer text of an item is cut.
const LONGEST: usize = 1600;

/// The page: one HTML file that needs nothing else.
pub fn contamination_page(report: &ContaminationReport) -> String {
    let main = html! {
        (outcome(report))
        (rates(report))
        (groups("sources", "By source", "Source", report.sources.as_deref()))
        (groups("languages", "By language", "Language", report.languages.as_deref()))
        (false_alarms(report))
        (scores(report))
        (hits(report))
        (not_read(report))
        (methods(report))
        (inputs(report))
    };
    let footer = html! { "Made by retrace from the files named above. The same files give the same page." };
    document("Contamination report", &title(report), include_str!("style.css"), &html! {}, &main, &footer)
}

fn title(report: &ContaminationReport) -> String {
    let mut names: Vec<&str> = report.rates.iter().map(|rate| rate.benchmark.as_str()).collect();
    names.dedup();
    match names[..] {
        [one] => one.to_owned(),
        [one, two] => format!("{one} and {two}"),
        [one, two, three] => format!("{one}, {two} and {three}"),
        _ => counted(names.len() as u64, "benchmark"),
    }
}

/// The items of all benchmarks with a leak by a method, and all items.
fn leaked(report: &ContaminationReport, method: Method) -> Share {
    let whole = report.rates.iter().filter(|rate| rate.method == method && rate.subset.is_none());
    let (count, of) = whole.fold((0, 0), |sum, rate| (sum.0 + rate.leaked.count, sum.1 + rate.leaked.of));
    Share::new(count, of)
}

fn outcome(report: &ContaminationReport) -> Markup {
    let first = report.methods.first().copied().unwrap_or(Method::Spans);
    let share = leaked(report, first);
    let skipped = report.benchmarks.iter().chain(&report.shards).any(|file| file.skipped > 0);
    let unsearched = not_searched(report.rates.iter());
    let class = match share.count {
        0 if share.of == 0 || skipped || !unsearched.is_empty() => "outcome",
        0 => "outcome holds",
        _ => "outcome found",
    };
    html! {
        section #outcome class=(class) {
            p.headline {
                @match share.count {
                    0 if share.of == 0 => "No item was searched for.",
                    0 => "No leak was found.",
                    1 => { "1 of " (counted(share.of, "item")) " has a leak in the corpus." }
                    n => { (grouped(n)) " of " (grouped(share.of)) " items have a leak in the corpus." }
                }
            }
            p {
                "Searched: " (counted(report.documents, "document")) " (" (size(report.bytes)) " of text) in "
                (counted(report.shards.len() as u64, "shard")) ", by the method " code { (first.name()) } "."
            }
            @for method in report.methods.iter().skip(1) {
                @let share = leaked(report, *method);
                p { "By " code { (method.name()) } ": " (grouped(share.count)) " of " (counted(share.of, "item")) "." }
            }
            @if skipped { p { "Not all lines were read: " a href="#not-read" { "see below" } "." } }
            @for what in &unsearched { p { "Not searched: " (what) "." } }
        }
    }
}

/// The line under a table: where its data are.
fn data(name: &str) -> Markup {
    html! { p.data { "Data: " a href={ "csv/" (name) ".csv" } { "csv/" (name) ".csv" } } }
}

fn share_cells(share: &Share) -> Markup {
    let least = if share.interval.is_none() { "at least " } else { "" };
    let interval = share.interval.filter(|_| share.of > 0);
    html! {
        td.num { (grouped(share.of)) }
        td.num { (least) (grouped(share.count)) }
        td.num { @if share.of == 0 { "–" } @else { (least) (percent(share.value())) } }
        td.num { @if let Some((low, high)) = interval { (percent(low)) " to " (percent(high)) } @else { "–" } }
    }
}

fn rates(report: &ContaminationReport) -> Markup {
    let lead = html! {
        "An item leaks if a document of the corpus gives it away. The interval is the 95 % interval of the share (Wilson's score), as if the items were drawn from more of their kind."
    };
    let whole: Vec<&Rate> = report.rates.iter().filter(|rate| rate.subset.is_none()).collect();
    let subsets: Vec<&Rate> = report.rates.iter().filter(|rate| rate.subset.is_some()).collect();
    let body = html! {
        (rate_table(report, &whole))
        @if !subsets.is_empty() {
            details {
                summary { strong { "By subset" } ", " (grouped(subsets.len() as u64)) " rows" }
                (rate_table(report, &subsets))
            }
        }
        (data("rates"))
        (verdicts(report, &whole))
    };
    section("rates", "By benchmark", &lead, &body)
}

fn rate_table(report: &ContaminationReport, rates: &[&Rate]) -> Markup {
    let several = report.methods.len() > 1;
    let subsets = rates.iter().any(|rate| rate.subset.is_some());
    let not_searched = rates.iter().any(|rate| rate.not_searched > 0);
    html! {
        div.scroll {
            table {
                thead { tr {
                    th { "Benchmark" } @if subsets { th { "Subset" } } @if several { th { "Method" } }
                    th.num { "Items" } th.num { "Leaked" } th.num { "Share" } th.num { "95 % interval" } th.num { "With answer" }
                    @if not_searched { th.num { "Not searched" } }
                } }
                tbody {
                    @for rate in rates {
                        tr {
                            td { (rate.benchmark) }
                            @if subsets { td { span.path { (rate.subset.as_deref().unwrap_or_default()) } } }
                            @if several { td { code { (rate.method.name()) } } }
                            (share_cells(&rate.leaked))
                            td.num { (grouped(rate.with_answer)) }
                            @if not_searched { td.num { (grouped(rate.not_searched)) } }
                        }
                    }
                }
            }
        }
    }
}

/// Items by their worst verdict.
fn verdicts(report: &ContaminationReport, rates: &[&Rate]) -> Markup {
    let several = report.methods.len() > 1;
    let mut all: Vec<Verdict> =
        rates.iter().flat_map(|rate| rate.verdicts.iter().map(|(verdict, _)| *verdict)).collect();
    all.sort_unstable();
    all.dedup();
    html! {
        div.scroll {
            table {
                caption { "Items by the worst that was found of them" }
                thead { tr {
                    th { "Benchmark" } @if several { th { "Method" } }
                    @for verdict in &all { th.num { (verdict_name(*verdict)) } } th.num { "nothing" }
                } }
                tbody {
                    @for rate in rates {
                        tr {
                            td { (rate.benchmark) }
                            @if several { td { code { (rate.method.name()) } } }
                            @for verdict in &all { td.num { (grouped(count(&rate.verdicts, *verdict))) } }
                            td.num { (grouped(rate.nothing)) }
                        }
                    }
                }
            }
        }
        (data("verdicts"))
    }
}

fn count(verdicts: &[(Verdict, u64)], wanted: Verdict) -> u64 {
    verdicts.iter().filter(|(verdict, _)| *verdict == wanted).map(|(_, count)| count).sum()
}

fn groups(id: &str, title: &str, column: &str, groups: Option<&[Group]>) -> Markup {
    let Some(groups) = groups else {
        let lead = html! { "There are more than 200 different values, so that they tell documents apart and not kinds of them." };
        return section(id, title, &lead, &html! {});
    };
    if groups.iter().all(|group| group.name.is_empty()) {
        return section(id, title, &html! { "The corpus does not say it." }, &html! {});
    }
    let mut methods: Vec<Method> = groups.iter().map(|group| group.method).collect();
    methods.dedup();
    let several = methods.len() > 1;
    let least = groups.iter().any(|group| group.documents.interval.is_none());
    let lead = html! {
        "Documents with a leak of any item."
        @if least { " Of some items more documents were found than are kept; whose the others are is not known, so that such a count is a lower bound and has no interval." }
    };
    let body = html! {
        div.scroll {
            table {
                thead { tr {
                    th { (column) } @if several { th { "Method" } }
                    th.num { "Documents" } th.num { "With a leak" } th.num { "Share" } th.num { "95 % interval" } th.num { "Items leaked there" }
                } }
                tbody {
                    @for group in groups {
                        tr {
                            td { @if group.name.is_empty() { "not given" } @else { span.path { (group.name) } } }
                            @if several { td { code { (group.method.name()) } } }
                            (share_cells(&group.documents))
                            td.num { (grouped(group.items)) }
                        }
                    }
                }
            }
        }
        (data(id))
    };
    section(id, title, &lead, &body)
}

fn false_alarms(report: &ContaminationReport) -> Markup {
    let Some(alarms) = &report.false_alarms else {
        let lead = html! {
            "Not estimated: impossible items were not to be searched for (" code { "--no-impossible" } ", in a document "
            code { "impossible: false" } ")."
        };
        return section("false-alarms", "False alarms", &lead, &html! {});
    };
    if alarms.is_empty() {
        let lead = html! { "Not estimated: impossible items are made of questions, and no item has one." };
        return section("false-alarms", "False alarms", &lead, &data("false-alarms"));
    }
    let lead = html! {
        "The same search for items that no document can have, made from the real ones: their words in random order, and the first half of a question with the second half of another. Whatever it flags is false. Documents with a leak are left out, as they have half of a real question. It is a lower bound: real questions also share phrases with texts that are no leaks."
    };
    let body = html! {
        div.scroll {
            table {
                thead { tr { th { "Made from" } th { "How" } th { "Method" } th.num { "Items" } th.num { "Flagged" } th.num { "Share" } th.num { "95 % interval" } } }
                tbody {
                    @for alarms in alarms {
                        tr { td { (alarms.benchmark) } td { (alarms.made) } td { code { (alarms.method.name()) } } (share_cells(&alarms.flagged)) }
                    }
                }
            }
        }
        (data("false-alarms"))
    };
    section("false-alarms", "False alarms", &lead, &body)
}

fn scores(report: &ContaminationReport) -> Markup {
    let mut verdicts: Vec<Verdict> =
        report.scores.iter().flat_map(|band| band.verdicts.iter().map(|(verdict, _)| *verdict)).collect();
    verdicts.sort_unstable();
    verdicts.dedup();
    if verdicts.is_empty() {
        return html! {};
    }
    let mut bands: Vec<&Band> = report.scores.iter().collect();
    bands.sort_by_key(|band| (band.method, std::cmp::Reverse(band.tenth)));
    let lead = html! {
        "Findings by score and verdict. Where leaks and near misses stand side by side, the cut lies; the near misses below show what is on its other side."
    };
    let body = html! {
        div.scroll {
            table {
                thead { tr { th { "Score" } th { "Method" } @for verdict in &verdicts { th.num { (verdict_name(*verdict)) } } } }
                tbody {
                    @for band in bands {
                        tr {
                            td { (format!("{:.1} to {:.1}", f64::from(band.tenth) / 10.0, f64::from(band.tenth + 1) / 10.0)) }
                            td { code { (band.method.name()) } }
                            @for verdict in &verdicts { td.num { @match count(&band.verdicts, *verdict) { 0 => "·", n => (grouped(n)) } } }
                        }
                    }
                }
            }
        }
        (data("scores"))
    };
    section("scores", "Where the cut lies", &lead, &body)
}

/// The hits by benchmark and verdict, then by item, all in the order of the report.
fn hits(report: &ContaminationReport) -> Markup {
    let mut groups: BTreeMap<(&str, Verdict), Vec<Vec<&Hit>>> = BTreeMap::new();
    for hit in &report.findings {
        let items = groups.entry((&hit.benchmark, hit.verdict)).or_default();
        let place = items.iter().rposition(|hits| hits.first().is_some_and(|first| first.item == hit.item));
        match place.and_then(|place| items.get_mut(place)) {
            Some(hits) => hits.push(hit),
            None => items.push(vec![hit]),
        }
    }
    if groups.is_empty() {
        return section("findings", "Findings", &html! { "Nothing was found of any item." }, &html! {});
    }
    let lead = html! {
        "Each item beside the document, what both have marked; a method of a paper does not say where in the item it is. Shown are " (DOCUMENTS_OF_ITEM)
        " documents of an item and " (ITEMS_OF_VERDICT) " items of a verdict at most; the table "
        code { "contamination" } " has all that were kept."
    };
    let body = html! {
        @for ((benchmark, verdict), items) in &groups {
            details.findings-of open[*verdict == Verdict::Leak] {
                summary { strong { (benchmark) ": " (verdict_name(*verdict)) } " " (grouped(items.len() as u64)) @if items.len() == 1 { " item" } @else { " items" } }
                p.lead { (verdict_means(*verdict)) }
                @for hits in items.iter().take(ITEMS_OF_VERDICT) { (of_item(hits)) }
                @if items.len() > ITEMS_OF_VERDICT {
                    p { "And " (grouped((items.len() - ITEMS_OF_VERDICT) as u64)) " more items, which are not shown." }
                }
            }
        }
        (data("findings"))
    };
    section("findings", "Findings", &lead, &body)
}

fn of_item(hits: &[&Hit]) -> Markup {
    html! {
        @for hit in hits.iter().take(DOCUMENTS_OF_ITEM) { (one(hit)) }
        @if hits.len() > DOCUMENTS_OF_ITEM {
            p.more { "The same item in " (grouped((hits.len() - DOCUMENTS_OF_ITEM) as u64)) " more findings." }
        }
    }
}

fn one(hit: &Hit) -> Markup {
    html! {
        article.hit {
            p.what {
                strong { "Item " (hit.item) }
                @if let Some(subset) = &hit.subset { " · " (subset) }
                " · score " (format!("{:.2}", hit.score))
                " · " code { (hit.method.name()) }
                @for seen in &hit.parts {
                    " · " (part_name(seen.part))
                    @if let Some(form) = seen.form { ": " (form_name(form)) ", " (seen.found) " of " (seen.units) }
                }
                @if hit.with_answer { " · " strong { "with the answer" } }
            }
            div.pair {
                div {
                    @for text in &hit.texts { p.name { (text.name) } p.text lang=[chinese(&text.text, None)] { (marked(text)) } }
                }
                div {
                    p.name {
                        span.path { (hit.shard) ":" (grouped(hit.line)) } " " span.path { (hit.document) }
                        @if let Some(source) = &hit.source { " · " span.path { (source) } }
                        @if let Some(language) = &hit.language { " · " (language) }
                    }
                    @match &hit.excerpt {
                        Some(excerpt) => p.text lang=[chinese(&excerpt.text, hit.language.as_deref())] { @if excerpt.start > 0 { "… " } (marked(excerpt)) @if !excerpt.ends { " …" } },
                        None => p.text { "The text of this document was not kept." },
                    }
                }
            }
        }
    }
}

/// The attribute `lang` of a Chinese text: one of which the corpus says so, or that is mostly in Chinese characters.
fn chinese(text: &str, language: Option<&str>) -> Option<&'static str> {
    let known = language.map(|language| {
        let language = language.to_ascii_lowercase();
        language.split(['-', '_']).next().is_some_and(|tag| matches!(tag, "zh" | "zho" | "cmn" | "yue"))
    });
    let letters = || text.chars().filter(|c| c.is_alphabetic());
    let han = letters().filter(|c| matches!(c, '\u{3400}'..='\u{9fff}' | '\u{20000}'..='\u{3ffff}')).count();
    let other_script = letters().any(|c| matches!(c, '\u{3040}'..='\u{30ff}' | '\u{ac00}'..='\u{d7af}'));
    let mostly = 2 * han > letters().count() && !other_script;
    (known == Some(true) && han > 0 || known.is_none() && mostly).then_some("zh")
}

/// A text, its marks as such. Of a long text the end is cut, after its marks if these are not far.
fn marked(text: &Marked) -> Markup {
    let mut left = LONGEST.max(text.marks.last().map_or(0, |mark| mark.1 + 80).min(4 * LONGEST));
    let mut pieces = Vec::new();
    for (is_marked, piece) in text.pieces() {
        let shown = piece.get(..piece.floor_char_boundary(left)).unwrap_or_default();
        left = left.saturating_sub(piece.len());
        if !shown.is_empty() {
            pieces.push((is_marked, shown));
        }
    }
    let shown: usize = pieces.iter().map(|(_, piece)| piece.len()).sum();
    html! {
        @for (is_marked, piece) in pieces { @if is_marked { mark { (piece) } } @else { (piece) } }
        @if shown < text.text.len() { " …" }
    }
}

fn not_read(report: &ContaminationReport) -> Markup {
    let skipped: Vec<&InputFile> =
        report.benchmarks.iter().chain(&report.shards).filter(|file| file.skipped > 0).collect();
    let short: u64 = report
        .rates
        .iter()
        .filter(|rate| rate.subset.is_none() && Some(&rate.method) == report.methods.first())
        .map(|rate| count(&rate.verdicts, Verdict::TooShort))
        .sum();
    let dropped: u64 = report.left_out.iter().map(|left| left.findings).sum();
    let unsearched = not_searched(report.rates.iter());
    let inputs = || report.benchmarks.iter().chain(&report.shards);
    let remarks = || inputs().filter_map(|file| Some((&file.name, file.remark.as_ref()?)));
    let title = match (skipped.is_empty() && unsearched.is_empty(), short == 0) {
        (true, true) => "What the numbers do not tell",
        (true, false) => "Not judged",
        (false, true) => "Not read, not searched",
        (false, false) => "Not read, not searched, not judged",
    };
    let lead = html! { "What the numbers above do not tell." };
    let body = html! {
        ul.words {
            @if skipped.is_empty() { li { "Every line and row of every file was read." } }
            @for file in skipped {
                li {
                    span.path { (file.name) } ": " (grouped(file.skipped)) @if file.skipped == 1 { " line or row" } @else { " lines or rows" } " could not be read and were left out"
                    @for (line, what) in &file.skipped_first { br; small { "line " (grouped(*line)) ": " (what) } }
                }
            }
            @for what in unsearched { li { (what) ": no question with words, and no long answer or solution. They are in no share." } }
            @for (name, remark) in remarks() { li { span.path { (name) } ": " (remark) "." } }
            @if short > 0 { li { (grouped(short)) @if short == 1 { " item is" } @else { " items are" } " too short to judge: any text can have such a question." } }
            @if dropped > 0 {
                li {
                    "Of " (grouped(report.left_out.len() as u64)) @if report.left_out.len() == 1 { " item" } @else { " items" } " more than " (report.kept) " documents were found by a method. The worst were kept; "
                    (grouped(dropped)) " others are counted only, so that counts of documents are lower bounds." (data("not-kept"))
                }
            }
            li { "A paraphrase or a translation has few words of an item, and is not found." }
            li { "That a document has an item does not tell whether a model learnt it." }
        }
    };
    section("not-read", title, &lead, &body)
}

fn methods(report: &ContaminationReport) -> Markup {
    let body = html! {
        div.scroll {
            table {
                thead { tr { th { "Method" } th { "From" } th { "Parameters" } } }
                tbody {
                    @for method in &report.methods {
                        @let (from, parameters) = method_means(*method);
                        tr { td { code { (method.name()) } } td { (from) } td.method { (parameters) } }
                    }
                }
            }
        }
    };
    section("methods", "How it was searched", &html! { "The methods and their parameters." }, &body)
}

fn inputs(report: &ContaminationReport) -> Markup {
    const SHOWN: usize = 50;
    let table = |title: &str, records: &str, name: &str, files: &[InputFile]| {
        html! {
            div.scroll {
                table {
                    caption { (title) }
                    thead { tr { th { "File" } th.num { (records) } th.num { "Size" } th { "Digest" } } }
                    tbody {
                        @for file in files.iter().take(SHOWN) {
                            tr { td { span.path { (file.name) } } td.num { (grouped(file.records)) } td.num { (size(file.bytes)) } td { code.digest title=(file.digest) { (brief(&file.digest)) } } }
                        }
                    }
                }
            }
            @if files.len() > SHOWN { p { "And " (grouped((files.len() - SHOWN) as u64)) " more." } }
            (data(name))
        }
    };
    let body = html! {
        (table("Benchmarks", "Items", "benchmarks", &report.benchmarks))
        (table("Corpus", "Documents", "shards", &report.shards))
        pre { code {
            "retrace report contamination --benchmark FILE --corpus FILE --method " (report.methods.iter().map(|method| method.name()).collect::<Vec<_>>().join(",")) " -o DIR\n"
            "retrace query \"select verdict, count(*) from contamination group by 1\" DIR\n"
        } }
    };
    section(
        "inputs",
        "What was read",
        &html! { "Each file by its digest (BLAKE3). The commands make this page again, and query its findings." },
        &body,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chinese_is_told_by_the_corpus_or_by_its_characters() {
        assert_eq!(chinese("一列火车从清河站出发", None), Some("zh"));
        assert_eq!(chinese("一列火车 leaves", Some("zh-Hant")), Some("zh"));
        assert_eq!(chinese("一列火车从清河站出发", Some("ja")), None);
        assert_eq!(chinese("東京は日本の首都です", None), None, "Japanese");
        assert_eq!(chinese("A train 火车 leaves at nine", None), None);
        assert_eq!(chinese("", None), None);
    }
}
