//! The switch alone: `arch/` with a C compiler and nothing else. Builds and runs the programs of `examples/c/switch`.

use super::{CFLAGS, all_right, compiler, must, outcome, program, runs_here, scratch, target};
use crate::run::{Run, root};
use crate::targets::{self, Target};
use crate::test::Row;
use std::fs;
use std::path::Path;

/// The targets, each with the package of its C++ compiler; without one only C is run.
const TARGETS: &[(&str, Option<&str>)] = &[
    ("x86_64-unknown-linux-gnu", Some("g++")),
    ("i686-unknown-linux-gnu", None),
    ("armv7-unknown-linux-gnueabihf", None),
    ("aarch64-unknown-linux-gnu", Some("g++-aarch64-linux-gnu")),
    ("powerpc64le-unknown-linux-gnu", Some("g++-powerpc64le-linux-gnu")),
    ("riscv64gc-unknown-linux-gnu", Some("g++-riscv64-linux-gnu")),
    ("s390x-unknown-linux-gnu", Some("g++-s390x-linux-gnu")),
];

pub fn rows() -> Vec<Row> {
    let targets = TARGETS.iter().map(|&(name, cpp)| (target(name), cpp));
    let rows = targets.filter(|(target, _)| runs_here(target)).map(|(target, cpp)| Row {
        name: format!("vendoring: switch alone, {}", target.name),
        packages: target.packages.iter().copied().chain(cpp).collect(),
        quick: target.is_host(),
        run: Box::new(move || outcome(run(target, cpp.is_some()))),
    });
    let mut rows: Vec<Row> = rows.collect();
    rows.push(Row {
        name: "vendoring: any.S".into(),
        packages: vec!["clang-22"],
        quick: false,
        run: Box::new(|| outcome(any_for_all())),
    });
    rows
}

/// For every target in the list: `any.S` comes to the same text as the file that the list names. One compiler knows them all.
fn any_for_all() -> Result<usize, String> {
    for target in targets::TARGETS {
        let text = |file: &str| {
            let clang =
                Run::new("clang-22").arg(format!("--target={}", llvm_triple(target.triple)));
            let text = clang.words("-E -P").arg(root().join("arch").join(file)).output();
            let text = text.ok_or(format!("arch/{file} has nothing for {}", target.name))?;
            Ok::<_, String>(text.lines().filter(|line| !line.trim().is_empty()).collect::<String>())
        };
        if text("any.S")? != text(target.arch)? {
            return Err(format!("for {} arch/any.S is not arch/{}", target.name, target.arch));
        }
    }
    Ok(targets::TARGETS.len())
}

/// Rust's names for RISC-V have the extensions in them.
fn llvm_triple(triple: &str) -> String {
    let (processor, rest) = triple.split_once('-').unwrap_or((triple, ""));
    match ["riscv32", "riscv64"].into_iter().find(|family| processor.starts_with(family)) {
        Some(family) => format!("{family}-{rest}"),
        None => triple.to_string(),
    }
}

fn run(target: &'static Target, cpp: bool) -> Result<usize, String> {
    let directory = scratch(&format!("alone-{}", target.name))?;
    let source = root().join("examples/c/switch");
    // What an author copies, and nothing else of ours: a header that is missing in there is missing here.
    let arch = directory.join("arch");
    fs::create_dir(&arch).map_err(|error| error.to_string())?;
    for entry in fs::read_dir(root().join("arch")).map_err(|error| error.to_string())?.flatten() {
        fs::copy(entry.path(), arch.join(entry.file_name())).map_err(|error| error.to_string())?;
    }
    any_is_the_right_one(target, &arch, &directory)?;

    let mut tests = 1;
    let include = format!("-I{}", arch.display());
    for level in ["-O0", "-O2"] {
        let built = directory.join(format!("switch_test{level}"));
        let sources = ["switch_test.c", "slices.c"].map(|file| source.join(file));
        let cc = c(target, level, &include).args(sources).arg(arch.join("any.S"));
        must(cc.arg("-o").arg(&built).arg("-lm"))?;
        tests += all_right(program(target, &built))?;

        if cpp {
            let built = directory.join(format!("exceptions{level}"));
            let object = directory.join(format!("slices{level}.o"));
            let compile = c(target, level, &include).arg("-c").arg(source.join("slices.c"));
            must(compile.arg("-o").arg(&object))?;
            let cpp = compiler(target, true).words("-std=c++17 -Wall -Wextra -Werror").arg(level);
            let cpp = cpp.arg(&include).arg(source.join("exceptions.cpp")).arg(object);
            must(cpp.arg(directory.join("any.o")).arg("-o").arg(&built))?;
            tests += all_right(program(target, &built))?;
        }
    }
    Ok(tests)
}

fn c(target: &Target, level: &str, include: &str) -> Run {
    compiler(target, false).words(CFLAGS).arg(level).arg(include)
}

/// Whether `any.S` comes to the same as the file that the list of targets names.
fn any_is_the_right_one(target: &Target, arch: &Path, directory: &Path) -> Result<(), String> {
    let mut objects = Vec::new();
    for (file, name) in [("any.S", "any.o"), (target.arch, "arch.o")] {
        let object = directory.join(name);
        must(compiler(target, false).arg("-c").arg(arch.join(file)).arg("-o").arg(&object))?;
        objects.push(fs::read(object).map_err(|error| error.to_string())?);
    }
    match objects[0] == objects[1] {
        true => Ok(()),
        false => Err(format!("arch/any.S is not arch/{}", target.arch)),
    }
}
