//! `tour [DIRECTORY]`: what greenlets are good for, on the files of a directory (this repository,
//! unless another is named).
//!
//! One file for each stop: `walk` (a recursive function as an iterator), `json` and `feed` (a parser
//! turned inside out), `panics`, `measure`. This one only prints the headings.

mod feed;
mod json;
mod measure;
mod panics;
mod show;
#[path = "../support/mod.rs"]
mod support;
mod walk;

use std::path::PathBuf;
use std::process::ExitCode;

fn main() -> ExitCode {
    let mut words = std::env::args_os().skip(1);
    let directory = match (words.next(), words.next()) {
        (None, _) => PathBuf::from(env!("CARGO_MANIFEST_DIR")),
        (Some(word), None) if word == "-h" || word == "--help" => {
            println!("usage: tour [DIRECTORY]");
            return ExitCode::SUCCESS;
        }
        (Some(word), None) => PathBuf::from(word),
        (_, Some(word)) => {
            eprintln!("tour: {word:?} is one argument too many\nusage: tour [DIRECTORY]");
            return ExitCode::from(2);
        }
    };
    if let Err(why) = std::fs::read_dir(&directory) {
        eprintln!("tour: {}: {why}", directory.display());
        return ExitCode::from(2);
    }

    heading(
        "1. A recursive walk becomes an iterator (walk.rs)",
        "An ordinary recursive function calls back for each file. In a greenlet its callback switches\n\
         to whoever asked for the next one, from any depth of the recursion.",
    );
    show::note(&format!("the directory is {}", directory.display()));
    let entries = walk::stop(&directory);
    heading(
        "2. A parser that blocks is fed chunk by chunk (json.rs, feed.rs)",
        "The parser calls a reader that blocks, and a callback. In a greenlet both calls switch outside,\n\
         where chunks are given and events are taken: from inside out, and the parser is as it was.",
    );
    feed::stop(&walk::as_json(&directory, &entries));
    heading(
        "3. A panic goes to the parent (panics.rs)",
        "A panic that a greenlet does not catch goes on in its parent, and there it can be had as a value.",
    );
    panics::stop();
    heading(
        "4. How many a second, and how many a GiB (measure.rs)",
        "The best of many rounds, on one thread.",
    );
    measure::stop();
    ExitCode::SUCCESS
}

fn heading(title: &str, text: &str) {
    show::say(&format!("\n{title}\n\n{text}\n"));
}
