//! The Lua module of `examples/lua`, in Debian's interpreter as it is: its tests, the same under valgrind, and without memory.

use super::install::install;
use super::{CFLAGS, all_right, must, outcome, scratch};
use crate::run::{Run, root};
use crate::test::Row;
use std::fs;

pub fn rows() -> Vec<Row> {
    vec![Row {
        name: "vendoring: Lua 5.4".into(),
        packages: vec!["lua5.4", "liblua5.4-dev", "pkg-config", "make", "valgrind"],
        quick: false,
        run: Box::new(|| outcome(run())),
    }]
}

fn run() -> Result<usize, String> {
    let directory = scratch("lua")?;
    let (prefix, lua) = (directory.join("prefix"), directory.join("lua"));
    install(&prefix, None, false)?;
    fs::create_dir(&lua).map_err(|error| error.to_string())?;
    for entry in fs::read_dir(root().join("examples/lua")).map_err(|e| e.to_string())?.flatten() {
        fs::copy(entry.path(), lua.join(entry.file_name())).map_err(|error| error.to_string())?;
    }
    let make = Run::new("make").arg(format!("PREFIX={}", prefix.display())).arg("greenlet.so");
    must(make.env("CFLAGS", "-O2 -Wall -Wextra -Werror").directory(&lua))?;
    let program = |words: &str| {
        let mut words = words.split_whitespace();
        let run = Run::new(words.next().unwrap_or_default()).args(words);
        run.env("LUA_CPATH", "./?.so").directory(&lua)
    };
    let mut tests = all_right(program("lua5.4 test.lua"))?;
    let valgrind = "valgrind --quiet --leak-check=full --error-exitcode=9";
    tests += all_right(program(&format!("{valgrind} lua5.4 test.lua")))?;

    let flags = Run::new("pkg-config").words("--cflags --libs lua5.4").output();
    let cc = Run::new("cc").words(CFLAGS).words("-O1 -g").directory(root().join("examples/lua"));
    let cc = cc.arg(format!("-I{}/include", prefix.display())).words("oom.c greenlet.c");
    let cc = cc.arg(prefix.join("lib/libgreenlet.a")).words(&flags.ok_or("pkg-config failed")?);
    must(cc.words("-lm -o").arg(directory.join("oom")))?;
    tests += all_right(Run::new(directory.join("oom")))?;
    // Timings are printed, and nobody is held to them.
    must(program("lua5.4 bench.lua"))?;
    Ok(tests)
}
