//! `cargo xtask readme`: the parts of other files that are made from the list of targets. It must
//! never write outside of the marker lines.

use crate::args::Args;
use crate::run::root;
use crate::targets::{How, TARGETS};
use std::fs;

const BEGIN: &str = "targets:begin";
const END: &str = "targets:end";

/// The command.
pub fn command(args: Args) -> Result<bool, String> {
    args.no_words()?;
    update(args.flag("--check"))
}

/// Brings the files up to date, or only checks that they are. True if they are.
pub fn update(check: bool) -> Result<bool, String> {
    let mut same = true;
    for (file, made) in [("README.md", table()), (".cargo/config.toml", config())] {
        let Ok(text) = fs::read_to_string(root().join(file)) else {
            println!("{file}: not there");
            continue;
        };
        match between_markers(&text, &made) {
            None => println!("{file}: no lines with {BEGIN} and {END}"),
            Some(new) if new == text => println!("{file}: up to date"),
            Some(_) if check => {
                println!("{file}: differs from the list of targets; run `cargo xtask readme`");
                same = false;
            }
            Some(new) => {
                fs::write(root().join(file), new).map_err(|error| format!("{file}: {error}"))?;
                println!("{file}: written");
            }
        }
    }
    Ok(same)
}

/// The text with what is between the marker lines replaced; `None` if they are not there.
fn between_markers(text: &str, made: &str) -> Option<String> {
    let begin = text.find(BEGIN)?;
    let begin = begin + text[begin..].find('\n')? + 1;
    let end = begin + text[begin..].find(END)?;
    let end = text[..end].rfind('\n')? + 1;
    (begin <= end).then(|| format!("{}{made}{}", &text[..begin], &text[end..]))
}

/// The README's table.
fn table() -> String {
    let mut text =
        String::from("| target | arch file | how it is run | state |\n| --- | --- | --- | --- |\n");
    for target in TARGETS {
        let (name, arch) = (target.name, target.arch);
        let (how, state) = (target.how_in_words(), target.state());
        text += &format!("| `{name}` | [`{arch}`](arch/{arch}) | {how} | {state} |\n");
    }
    text
}

/// Linkers and runners for cargo.
fn config() -> String {
    let mut text = String::new();
    for target in TARGETS.iter().filter(|target| target.name == target.triple) {
        if matches!(target.how, How::C(_) | How::Assembled(_)) {
            continue;
        }
        let linker = target.linker.map(|linker| format!("linker = {linker:?}\n"));
        let runner = target.runner().map(|runner| format!("runner = {runner:?}\n"));
        if linker.is_none() && runner.is_none() {
            continue;
        }
        text += &format!("\n[target.{}]\n", target.triple);
        text += &linker.unwrap_or_default();
        text += &runner.unwrap_or_default();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_between_the_markers_is_replaced() {
        let text = "a\n<!-- targets:begin -->\nold\nolder\n<!-- targets:end -->\nb\n";
        let new = "a\n<!-- targets:begin -->\nnew\n<!-- targets:end -->\nb\n";
        assert_eq!(between_markers(text, "new\n").as_deref(), Some(new));
        assert_eq!(between_markers(new, "new\n").as_deref(), Some(new));
        assert_eq!(between_markers("no markers\n", "new\n"), None);
        assert_eq!(between_markers("targets:end\ntargets:begin\n", "new\n"), None);
    }
}
