//! `cargo xtask lint`: what must hold of the sources, without running the tests.

use crate::args::Args;
use crate::run::{Run, root};
use crate::table::{Outcome, Table};
use crate::{python, readme};
use std::fs;

/// The command.
pub fn command(args: Args) -> Result<bool, String> {
    args.no_words()?;
    let mut table = Table::default();
    table.row("rustfmt", || run(Run::cargo().words("fmt --all --check")));
    table.row("rustfmt, tests/bare", || {
        run(Run::cargo().words("fmt --check --manifest-path tests/bare/Cargo.toml"))
    });
    table.row("rustfmt, fuzz", || {
        run(Run::cargo().words("fmt --check --manifest-path fuzz/Cargo.toml"))
    });
    table.row("rustfmt, python", || {
        run(Run::cargo().words("fmt --check --manifest-path python/Cargo.toml"))
    });
    for (features, words) in [
        ("default", "--workspace --all-targets"),
        ("alloc", "-p greenlet --all-targets --no-default-features --features alloc"),
        ("none", "-p greenlet --all-targets --no-default-features"),
    ] {
        let clippy = Run::cargo().arg("clippy").words(words).words("-- -D warnings");
        table.row(&format!("clippy, features: {features}"), || run(clippy));
    }
    table.row("clippy, python", python::clippy);
    table.row("rustdoc", || {
        run(Run::cargo().words("doc --workspace --no-deps").env("RUSTDOCFLAGS", "-D warnings"))
    });
    table.row("no run-time dependency", no_dependency);
    table.row("every arch file has a row in build.rs", arch_files_have_rows);
    table.row("what is made from the list of targets", || match readme::update(true) {
        Ok(true) => Outcome::Ok(1),
        Ok(false) => Outcome::Failed("run `cargo xtask readme`".into()),
        Err(why) => Outcome::Failed(why),
    });
    Ok(table.finish())
}

fn run(run: Run) -> Outcome {
    let done = run.done();
    match done.ok() {
        true => Outcome::Ok(1),
        false => Outcome::Failed(done.how()),
    }
}

/// What a program that uses the crate compiles besides it: nothing, on any target.
fn no_dependency() -> Outcome {
    let tree = Run::cargo().words("tree -p greenlet -e normal --all-features --target all");
    match tree.output() {
        Some(tree) if tree.trim().lines().count() == 1 => Outcome::Ok(1),
        Some(tree) => Outcome::Failed(format!("the tree is\n{tree}")),
        None => Outcome::Failed("cargo tree failed".into()),
    }
}

fn arch_files_have_rows() -> Outcome {
    let build = fs::read_to_string(root().join("build.rs")).unwrap_or_default();
    let mut files = 0;
    for entry in fs::read_dir(root().join("arch")).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.ends_with(".S") || name.ends_with(".asm") {
            // This one includes the others; a row of `cargo xtask test` compares.
            if name == "any.S" {
                continue;
            }
            files += 1;
            if !build.contains(&format!("\"{name}\"")) {
                return Outcome::Failed(format!("arch/{name} is nowhere in build.rs"));
            }
        }
    }
    match files {
        0 => Outcome::Failed("arch/ has no file".into()),
        _ => Outcome::Ok(files),
    }
}
