//! Several processes print to one log. The numbers of a step are those of the first process that has the step; what the
//! others have is compared with them.

use std::collections::HashMap;

/// What is compared: loss, learning rate, gradient norm. Each process measures times and speeds for itself.
pub(crate) type Compared<'a> = [Option<(&'a str, f64)>; 3];

/// The values of a line, and its number.
#[derive(Debug, Clone, Copy)]
struct Line {
    line: usize,
    values: [Option<f64>; 3],
}

/// The lines that the first process has of a step.
#[derive(Debug)]
struct First {
    process: usize,
    lines: Vec<Line>,
}

/// Where a line stands: its step, and what kind of line of that step it is.
pub(crate) type Place = (u64, &'static str);

/// The processes that print to a log, in their order in it.
#[derive(Debug, Default)]
pub(crate) struct Processes {
    places: HashMap<String, usize>,
    names: Vec<String>,
    first: HashMap<Place, First>,
    /// How many lines of a place each further process had.
    turns: HashMap<(Place, usize), usize>,
}

/// What another process has, compared with the first one.
#[derive(Debug, PartialEq)]
pub(crate) struct Comparison {
    /// Which values differ, as a sentence.
    pub(crate) differs: Option<String>,
    /// Which of the values only this line has.
    pub(crate) only: [bool; 3],
}

impl Processes {
    /// Adds a process.
    pub(crate) fn add(&mut self, name: &str) {
        if !self.places.contains_key(name) {
            self.places.insert(name.to_owned(), self.names.len());
            self.names.push(name.to_owned());
        }
    }

    /// Whether there are several.
    pub(crate) fn are_several(&self) -> bool {
        self.names.len() > 1
    }

    /// Looks at a line before any is compared.
    pub(crate) fn look(&mut self, name: &str, place: Place, line: usize, compared: &Compared<'_>) {
        let Some(process) = self.places.get(name).copied() else { return };
        let line = Line { line, values: compared.map(|value| value.map(|(_, number)| number)) };
        let first = self.first.entry(place).or_insert(First { process, lines: Vec::new() });
        if process < first.process {
            *first = First { process, lines: Vec::new() };
        }
        if process == first.process {
            first.lines.push(line);
        }
    }

    /// Compares a line with the one of the first process; `None`, if it is of the first process.
    pub(crate) fn compare(&mut self, name: &str, place: Place, compared: &Compared<'_>) -> Option<Comparison> {
        let process = self.places.get(name).copied()?;
        let first = self.first.get(&place).filter(|first| first.process != process)?;
        let turn = self.turns.entry((place, process)).or_default();
        let of = first.lines.get(*turn).or(first.lines.last())?;
        *turn += 1;
        let named = |process: usize| match self.names.get(process).map(String::as_str) {
            Some("") | None => "a process without a name",
            Some(name) => name,
        };
        let mut differs = None;
        let mut only = [false; 3];
        for ((value, taken), only) in compared.iter().zip(of.values).zip(&mut only) {
            match (value, taken) {
                (Some((field, number)), Some(taken))
                    if *number != taken && !(number.is_nan() && taken.is_nan()) && differs.is_none() =>
                {
                    differs = Some(format!(
                        "{field} is {number} in {}, and {taken} in {} (line {}), which is taken",
                        named(process),
                        named(first.process),
                        of.line
                    ));
                }
                (value, taken) => *only = value.is_some() && taken.is_none(),
            }
        }
        Some(Comparison { differs, only })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn loss(value: f64) -> Compared<'static> {
        [Some(("loss", value)), None, None]
    }

    #[test]
    fn the_first_process_that_has_a_step_gives_it() {
        let mut processes = Processes::default();
        let lines =
            [("a", 1, 4.0), ("b", 2, 3.0), ("a", 2, f64::NAN), ("b", 3, 2.0), ("b", 1, 4.0), ("c", 2, f64::NAN)];
        lines.iter().for_each(|(name, ..)| processes.add(name));
        assert!(processes.are_several());
        for (at, (name, step, value)) in lines.iter().enumerate() {
            processes.look(name, (*step, "train"), at + 1, &loss(*value));
        }
        let told: Vec<_> = lines
            .iter()
            .map(|(name, step, value)| processes.compare(name, (*step, "train"), &loss(*value)).map(|of| of.differs))
            .collect();
        let differs = "loss is 3 in b, and NaN in a (line 3), which is taken".to_owned();
        assert_eq!(told, [None, Some(Some(differs)), None, None, Some(None), Some(None)]);
    }

    /// After a restart each process has the step again, with other numbers.
    #[test]
    fn a_step_that_comes_again_is_compared_with_the_step_that_came_again() {
        let mut processes = Processes::default();
        let lines = [("a", 4.0), ("b", 4.0), ("b", 3.0), ("a", 3.0), ("b", 3.0), ("b", 2.0)];
        lines.iter().for_each(|(name, _)| processes.add(name));
        lines.iter().enumerate().for_each(|(at, (name, value))| {
            processes.look(name, (7, "train"), at + 1, &loss(*value));
        });
        let differs: Vec<bool> = lines
            .iter()
            .filter_map(|(name, value)| processes.compare(name, (7, "train"), &loss(*value)))
            .map(|of| of.differs.is_some())
            .collect();
        assert_eq!(differs, [false, false, false, true]);
    }

    #[test]
    fn a_number_that_only_another_has_is_told() {
        let mut processes = Processes::default();
        processes.add("a");
        processes.add("b");
        processes.look("a", (1, "train"), 1, &[None, Some(("lr", 0.5)), None]);
        let both = [Some(("loss", 2.5)), Some(("lr", 0.5)), None];
        let compared = processes.compare("b", (1, "train"), &both);
        assert_eq!(compared, Some(Comparison { differs: None, only: [true, false, false] }));
    }
}
