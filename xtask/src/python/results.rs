//! What unittest and pytest print at the end of a run, read. It must never decide what is run.

/// How many tests passed of a run that ended with status 0, by the closing lines of unittest (`Ran 3 tests in 1.0s`,
/// `OK (skipped=1)`).
pub fn unittest(output: &str) -> Result<usize, String> {
    let ran = output.lines().rev().find_map(|line| line.strip_prefix("Ran ")).and_then(number);
    let closing = output.lines().rev().find(|line| *line == "OK" || line.starts_with("OK ("));
    match (ran, closing) {
        (Some(ran), Some(closing)) => {
            let skipped = closing.split("skipped=").nth(1).and_then(number).unwrap_or(0);
            passed(ran - skipped)
        }
        _ => Err("no closing lines of unittest".into()),
    }
}

/// The same of pytest (`3 passed, 1 skipped in 1.0s`).
pub fn pytest(output: &str) -> Result<usize, String> {
    let closing =
        output.lines().rev().find(|line| line.contains(" passed") && line.contains(" in "));
    let closing = closing.ok_or("no closing line of pytest")?;
    let parts = closing.trim_matches(['=', ' ']).split(", ");
    let counts: usize = parts.filter(|part| part.contains(" passed")).filter_map(number).sum();
    passed(counts)
}

/// The tests that unittest skipped, in a run that named each: lines `name (class) ... skipped 'reason'`.
pub fn skipped(output: &str) -> Vec<(&str, &str)> {
    let lines = output.lines().filter_map(|line| line.split_once(" ... skipped "));
    lines.map(|(name, reason)| (name.split(' ').next().unwrap_or(name), reason)).collect()
}

fn passed(count: usize) -> Result<usize, String> {
    if count > 0 { Ok(count) } else { Err("not one test passed".into()) }
}

/// The number that a text begins with.
fn number(text: &str) -> Option<usize> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    text[..end].parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn closing_lines_of_unittest() {
        assert_eq!(unittest("Ran 172 tests in 5.0s\n\nOK (skipped=7)\n"), Ok(165));
        assert_eq!(unittest("Ran 2 tests in 5.0s\n\nOK\n"), Ok(2));
        assert!(unittest("Ran 2 tests in 5.0s\n\nOK (skipped=2)\n").is_err());
        assert!(unittest("Ran 2 tests in 5.0s\n\nFAILED (failures=1)\n").is_err());
        assert!(unittest("").is_err());
    }

    #[test]
    fn closing_lines_of_pytest() {
        assert_eq!(pytest("=== 12 passed, 1 skipped in 3.21s ===\n"), Ok(12));
        assert_eq!(pytest("1 xfailed, 2 passed in 3.21s\n"), Ok(2));
        assert!(pytest("no tests ran in 0.01s\n").is_err());
    }

    #[test]
    fn names_and_reasons_of_what_was_skipped() {
        let output = "test_a (x.Y.test_a) ... ok\ntest_b (x.Y) ... skipped 'too new'\n";
        assert_eq!(skipped(output), [("test_b", "'too new'")]);
    }
}
