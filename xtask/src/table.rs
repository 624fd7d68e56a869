//! Results: one row for each thing that was tried, one table at the end, one closing line. It must
//! never know what a row stands for.

use crate::run::say;
use std::time::Instant;

/// How a row ended.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// It ran, this many tests of it, and all was well.
    Ok(usize),
    /// It ran, or should have, and was not well.
    Failed(String),
    /// It could not run here, and why. Never counted as passed.
    Skipped(String),
}

struct Row {
    what: String,
    outcome: Outcome,
    seconds: f64,
}

/// The rows so far.
#[derive(Default)]
pub struct Table {
    rows: Vec<Row>,
}

impl Table {
    /// Runs one row, between two lines that can be searched for in a long log.
    pub fn row(&mut self, what: &str, run: impl FnOnce() -> Outcome) {
        say(&format!("\n=== {what}"));
        let begin = Instant::now();
        let outcome = run();
        let seconds = begin.elapsed().as_secs_f64();
        match &outcome {
            Outcome::Ok(tests) => say(&format!("--- {what}: ok ({tests}) in {seconds:.1} s")),
            Outcome::Failed(why) => say(&format!("--- {what}: FAILED: {why}")),
            Outcome::Skipped(why) => say(&format!("--- {what}: skipped: {why}")),
        }
        self.rows.push(Row { what: what.into(), outcome, seconds });
    }

    /// Has nothing been tried?
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Adds another table's rows.
    pub fn append(&mut self, mut other: Table) {
        self.rows.append(&mut other.rows);
    }

    /// Prints the table and the closing line. True if something passed and nothing failed.
    pub fn finish(&self) -> bool {
        print!("\n{}", self.text());
        let (passed, failed, skipped) = self.counts();
        println!("{passed} passed, {failed} failed, {skipped} skipped");
        failed == 0 && passed > 0
    }

    fn counts(&self) -> (usize, usize, usize) {
        let count = |wanted: fn(&Outcome) -> bool| {
            self.rows.iter().filter(|row| wanted(&row.outcome)).count()
        };
        (
            count(|outcome| matches!(outcome, Outcome::Ok(_))),
            count(|outcome| matches!(outcome, Outcome::Failed(_))),
            count(|outcome| matches!(outcome, Outcome::Skipped(_))),
        )
    }

    fn text(&self) -> String {
        let head = ["what", "result", "tests", "seconds", "why"].map(String::from);
        let rows = self.rows.iter().map(|row| {
            let seconds = format!("{:.1}", row.seconds);
            match &row.outcome {
                Outcome::Ok(n) => {
                    [row.what.clone(), "ok".into(), n.to_string(), seconds, "".into()]
                }
                Outcome::Failed(why) => {
                    [row.what.clone(), "FAILED".into(), "".into(), seconds, why.clone()]
                }
                Outcome::Skipped(why) => {
                    [row.what.clone(), "skipped".into(), "".into(), "".into(), why.clone()]
                }
            }
        });
        let lines: Vec<[String; 5]> = std::iter::once(head).chain(rows).collect();
        let width = |column: usize| {
            lines.iter().map(|line| line[column].chars().count()).max().unwrap_or_default()
        };
        let widths: [usize; 5] = std::array::from_fn(width);
        let mut text = String::new();
        for (index, line) in lines.iter().enumerate() {
            let mut shown = String::new();
            for (column, cell) in line.iter().enumerate() {
                // Numbers stand to the right.
                let width = widths[column];
                let cell = if (2..4).contains(&column) {
                    format!("{cell:>width$}")
                } else {
                    format!("{cell:<width$}")
                };
                shown.push_str(&cell);
                shown.push_str("  ");
            }
            text.push_str(shown.trim_end());
            text.push('\n');
            if index == 0 {
                let rule: Vec<String> = widths.iter().map(|width| "-".repeat(*width)).collect();
                text.push_str(&rule.join("  "));
                text.push('\n');
            }
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_skipped_row_does_not_count_as_passed() {
        let mut table = Table::default();
        table.row("a", || Outcome::Skipped("no emulator".into()));
        assert_eq!(table.counts(), (0, 0, 1));
        assert!(!table.finish());
        table.row("b", || Outcome::Ok(3));
        assert!(table.finish());
        table.row("c", || Outcome::Failed("exit status 1".into()));
        assert!(!table.finish());
    }

    #[test]
    fn columns_line_up() {
        let mut table = Table::default();
        table.rows.push(Row { what: "host".into(), outcome: Outcome::Ok(12), seconds: 1.25 });
        table.rows.push(Row {
            what: "x".into(),
            outcome: Outcome::Skipped("y".into()),
            seconds: 0.0,
        });
        let text = table.text();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "what  result   tests  seconds  why");
        assert_eq!(lines[2], "host  ok          12      1.2");
        assert_eq!(lines[3], "x     skipped                  y");
    }
}
