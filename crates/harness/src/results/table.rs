//! The table that the harness prints.

use std::collections::{BTreeMap, BTreeSet};

use super::Evaluation;
use crate::object::Object;

/// One row of the table. A task's name and version stand in its first row only.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Row {
    /// The alias of the task or group, indented by its depth.
    pub name: String,
    /// Its version.
    pub version: String,
    /// The filter.
    pub filter: String,
    /// The examples in the prompts.
    pub shots: String,
    /// The metric.
    pub metric: String,
    /// `↑` or `↓`, the better direction; empty if it is not known.
    pub direction: String,
    /// Its value with four digits.
    pub value: String,
    /// `±`, if there is a standard error or `N/A`.
    pub sign: String,
    /// The standard error.
    pub error: String,
}

/// The rows of the table of tasks and groups, or of groups only. The latter is empty without groups that have metrics.
#[must_use]
pub fn table(evaluation: &Evaluation, groups_only: bool) -> Vec<Row> {
    let entry = |key: &str| evaluation.entries.iter().find(|(name, _)| name == key).map(|(_, value)| value);
    let Some(Object::Map(scores)) = entry(if groups_only { "groups" } else { "results" }) else { return Vec::new() };
    let of = |key: &str, name: &str| match entry(key) {
        Some(Object::Map(entries)) => entries.iter().find(|(other, _)| other == name).map(|(_, value)| value.clone()),
        _ => None,
    };
    let mut rows = Vec::new();
    for (name, depth) in ordered(entry("group_subtasks"), scores) {
        let Some((_, Object::Map(metrics))) = scores.iter().find(|(other, _)| *other == name) else { continue };
        let find = |key: &str| metrics.iter().find(|(other, _)| other == key).map(|(_, value)| value);
        let alias = find("alias").map_or_else(|| name.clone(), Object::text);
        let mut label = if depth > 0 { format!("{}- {alias}", " ".repeat(depth)) } else { alias };
        let mut version = of("versions", &name).map_or_else(|| "    N/A".to_owned(), |version| version.text());
        let shots = of("n-shot", &name).map_or_else(|| " ".to_owned(), |shots| shots.text());
        let directions = of("higher_is_better", &name);
        let fixed = ["alias", "name", "sample_len", "sample_count"];
        let sorted: BTreeMap<&String, &Object> =
            metrics.iter().filter(|(key, _)| !fixed.contains(&key.as_str())).map(|(key, value)| (key, value)).collect();
        for (key, value) in &sorted {
            let (metric, filter) = key.split_once(',').unwrap_or((key, ""));
            if metric.ends_with("_stderr") {
                continue;
            }
            let direction = match &directions {
                Some(Object::Map(entries)) => entries.iter().find(|(name, _)| name == metric).map(|(_, value)| value),
                _ => None,
            };
            let error = sorted.get(&format!("{metric}_stderr,{filter}"));
            rows.push(Row {
                name: std::mem::take(&mut label),
                version: std::mem::take(&mut version),
                filter: filter.to_owned(),
                shots: shots.clone(),
                metric: metric.to_owned(),
                direction: match direction {
                    Some(Object::Bool(true)) => "↑".to_owned(),
                    Some(Object::Bool(false)) => "↓".to_owned(),
                    _ => String::new(),
                },
                value: match value {
                    // What writes the table for the harness spells them so, only in this column.
                    Object::Float(value) if value.is_nan() => "NaN".to_owned(),
                    Object::Float(value) if value.is_infinite() => {
                        if *value > 0.0 { "Infinity" } else { "-Infinity" }.to_owned()
                    }
                    other => four_digits(other),
                },
                sign: if error.is_some() { "±".to_owned() } else { String::new() },
                error: error.map_or_else(String::new, |error| match error {
                    Object::Text(_) => "   N/A".to_owned(),
                    other => four_digits(other),
                }),
            });
        }
    }
    rows
}

/// Names with their depth: groups that are in no other, each followed by what is in it, all in the order of names; then
/// what is in no group.
fn ordered(subtasks: Option<&Object>, scores: &[(String, Object)]) -> Vec<(String, usize)> {
    fn visit(
        name: &str,
        depth: usize,
        groups: &BTreeMap<&str, BTreeSet<String>>,
        available: &BTreeSet<&str>,
        seen: &mut BTreeMap<String, usize>,
        order: &mut Vec<String>,
    ) {
        seen.insert(name.to_owned(), depth);
        if available.contains(name) {
            order.push(name.to_owned());
        }
        for child in groups.get(name).into_iter().flatten() {
            visit(child, depth + 1, groups, available, seen, order);
        }
    }
    let available: BTreeSet<&str> = scores.iter().map(|(name, _)| name.as_str()).collect();
    let mut groups: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    if let Some(Object::Map(entries)) = subtasks {
        for (name, children) in entries {
            if let Object::List(children) = children {
                groups.insert(name, children.iter().map(Object::text).collect());
            }
        }
    }
    let inside: BTreeSet<&String> = groups.values().flatten().collect();
    let (mut seen, mut order) = (BTreeMap::new(), Vec::new());
    for name in groups.keys().filter(|name| !inside.iter().any(|other| other.as_str() == **name)) {
        visit(name, 0, &groups, &available, &mut seen, &mut order);
    }
    for name in available {
        if !seen.contains_key(name) {
            order.push(name.to_owned());
        }
    }
    // The harness indents a name everywhere by the depth at which it was last found.
    order
        .into_iter()
        .map(|name| (seen.get(&name).copied().unwrap_or(0), name))
        .map(|(depth, name)| (name, depth))
        .collect()
}

/// A float with four digits after the point, as Python's `format` writes it; anything else as it is.
fn four_digits(value: &Object) -> String {
    match value {
        Object::Float(value) if value.is_finite() => format!("{value:.4}"),
        other => other.text(),
    }
}
