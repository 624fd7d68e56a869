//! libgreenlet, installed and used as any C library is: the tests of `capi/tests` and the interfaces of `examples/c` on top of it.

use super::install::install;
use super::{CFLAGS, all_right, compiler, must, outcome, program, runs_here, scratch, target};
use crate::run::{Run, root};
use crate::targets::Target;
use crate::test::Row;
use crate::{cross, targets};
use std::path::{Path, PathBuf};

/// Where it is tried beside this machine, under emulators: a word of 64 bits in each byte order.
const EMULATED: &[&str] = &["aarch64-unknown-linux-gnu", "s390x-unknown-linux-gnu"];

/// What a tool wants: flags for the compiler, and the words before the program.
const TOOLS: &[(&str, &str, &str)] = &[
    ("valgrind", "-O1 -g -DTOOL_VALGRIND", "valgrind --quiet --leak-check=full --error-exitcode=9"),
    (SANITIZED, "-O1 -g -fsanitize=address,undefined -fno-sanitize-recover=all", ""),
];

/// The program whose slices are its own, not the library's: their red zones stay behind (docs/vendoring.md).
const WITHOUT_RED_ZONES: &str = "stackman";

/// The programs that do not look where on the stack their variables are, which may then be in a fake stack.
const ANYWHERE: &[&str] = &["api", "errors", "stacklet"];

/// Linked with a library that knows of the sanitizer.
const SANITIZED: &str = "sanitizers";

/// What `capi/tests/errors.c` does wrong when it is told to, and what the sanitizer must say of it.
const ERRORS: &[(&str, &str)] = &[
    ("overflow", "stack-buffer-overflow"),
    ("underflow", "stack-buffer-"), // below the first variable, or above its neighbour
    ("scope", "stack-use-after-scope"),
    ("heap", "heap-buffer-overflow"),
    ("freed", "heap-use-after-free"),
];

/// The programs: name and sources. All are run by every tool.
const PROGRAMS: &[(&str, &[&str])] = &[
    ("api", &["capi/tests/api.c"]),
    ("frames", &["capi/tests/frames.c"]),
    ("errors", &["capi/tests/errors.c"]),
    ("stacklet", &["examples/c/stacklet/stacklet.c", "examples/c/stacklet/test.c"]),
    ("stackman", &["examples/c/stackman/stackman.c", "examples/c/stackman/test.c", "arch/any.S"]),
];

pub fn rows() -> Vec<Row> {
    let mut rows = Vec::new();
    let host = targets::TARGETS.iter().find(|target| target.is_host());
    if let Some(host) = host {
        rows.push(Row {
            name: "vendoring: C library".into(),
            packages: vec!["valgrind", "pkg-config", "libasan8", "libubsan1"],
            quick: false,
            run: Box::new(move || outcome(natively(host))),
        });
    }
    for target in EMULATED.iter().map(|name| target(name)).filter(|target| runs_here(target)) {
        rows.push(Row {
            name: format!("vendoring: C library, {}", target.name),
            packages: cross::packages(target),
            quick: false,
            run: Box::new(move || outcome(emulated(target))),
        });
    }
    rows
}

fn natively(host: &'static Target) -> Result<usize, String> {
    let directory = scratch("c-library")?;
    let prefix = directory.join("prefix");
    let for_asan = directory.join("prefix-asan");
    install(&for_asan, None, true)?;
    install(&prefix, None, false)?;
    let pkgconfig = prefix.join("lib/pkgconfig");
    let flags = Run::new("pkg-config").words("--cflags --libs libgreenlet");
    let flags = flags.env("PKG_CONFIG_PATH", &pkgconfig).output().ok_or("pkg-config failed")?;
    let (shared, fixed) = (flags.trim().to_string(), link(&prefix, "libgreenlet.a"));
    let asan = link(&for_asan, "libgreenlet.a");
    let mut tests = 0;
    for (name, sources) in PROGRAMS {
        for (how, flags) in [("shared", &shared), ("static", &fixed)] {
            let built = compile(host, &directory.join(how), name, sources, "-O2", flags)?;
            tests += all_right(program(host, &built).env("LD_LIBRARY_PATH", prefix.join("lib")))?;
        }
        for (tool, level, before) in TOOLS {
            let (library, level) = match (*tool == SANITIZED, *name == WITHOUT_RED_ZONES) {
                (true, true) => (&asan, format!("{level} --param asan-stack=0")),
                (true, false) => (&asan, level.to_string()),
                (false, _) => (&fixed, level.to_string()),
            };
            let built = compile(host, &directory.join(tool), name, sources, &level, library)?;
            let mut words = before.split_whitespace();
            tests += all_right(match words.next() {
                Some(first) => Run::new(first).args(words).arg(&built).arg("short"),
                None => Run::new(&built).arg("short"),
            })?;
        }
    }
    // And with variables in a greenlet's fake stack.
    let fake = "detect_stack_use_after_return=1";
    let sanitized = directory.join(SANITIZED);
    for name in ANYWHERE {
        tests += all_right(Run::new(sanitized.join(name)).env("ASAN_OPTIONS", fake).arg("short"))?;
    }
    for (error, report) in ERRORS {
        let done = Run::new(sanitized.join("errors")).arg(error).quiet().done();
        if done.ok() || !done.stderr.contains(report) {
            return Err(format!("errors {error}: {}, and no {report} is reported", done.how()));
        }
        tests += 1;
    }
    // Numbers are printed, and nobody is held to them.
    let cost = compile(host, &directory, "cost", &["examples/c/cost.c"], "-O2", &fixed)?;
    must(program(host, &cost))?;
    Ok(tests)
}

fn emulated(target: &'static Target) -> Result<usize, String> {
    let directory = scratch(&format!("c-library-{}", target.name))?;
    let prefix = directory.join("prefix");
    install(&prefix, Some(target), false)?;
    let mut tests = 0;
    for (name, sources) in PROGRAMS {
        let flags = link(&prefix, "libgreenlet.a");
        let built = compile(target, &directory, name, sources, "-O2", &flags)?;
        tests += all_right(program(target, &built))?;
    }
    Ok(tests)
}

fn link(prefix: &Path, library: &str) -> String {
    format!("-I{0}/include {0}/lib/{library}", prefix.display())
}

fn compile(
    target: &Target,
    directory: &Path,
    name: &str,
    sources: &[&str],
    level: &str,
    flags: &str,
) -> Result<PathBuf, String> {
    std::fs::create_dir_all(directory).map_err(|error| error.to_string())?;
    let built = directory.join(name);
    let cc = compiler(target, false).words(CFLAGS).words("-Iexamples/c -Iarch");
    let cc = cc.words(level).args(sources.iter().map(|source| root().join(source)));
    must(cc.words(flags).words("-lm -pthread -o").arg(&built))?;
    Ok(built)
}
