//! Compiles the C files against the headers of the interpreter that the wheel is for, and tells Rust its version.
//!
//! The interpreter is what maturin says (`PYO3_PYTHON`), else `python3`.

use std::process::Command;
use std::{env, process};

const ASK: &str = "
import sys, sysconfig
var = sysconfig.get_config_var
paths = sysconfig.get_paths()
print(sys.version_info[1])
print(paths['include'])
print(paths['platinclude'])
print(int(bool(var('Py_DEBUG')) or hasattr(sys, 'gettotalrefcount')))
print(int(bool(var('Py_GIL_DISABLED'))))
print(sys.implementation.name)
";

fn main() {
    for name in
        ["PYO3_PYTHON", "PYTHON_SYS_EXECUTABLE", "GREENLET_PYTHON_ROOT", "VIRTUAL_ENV", "PATH"]
    {
        println!("cargo::rerun-if-env-changed={name}");
    }
    for file in [
        "build.rs",
        "csrc/cxx.c",
        "csrc/cxx.h",
        "csrc/stackless.c",
        "csrc/state.c",
        "csrc/state.h",
        "csrc/types.c",
    ] {
        println!("cargo::rerun-if-changed={file}");
    }
    let python = env::var("PYO3_PYTHON")
        .or_else(|_| env::var("PYTHON_SYS_EXECUTABLE"))
        .unwrap_or_else(|_| "python3".into());
    let answer = match Command::new(&python).args(["-c", ASK]).output() {
        Ok(output) if output.status.success() => {
            String::from_utf8_lossy(&output.stdout).into_owned()
        }
        Ok(output) => {
            fail(&format!("`{python}` said: {}", String::from_utf8_lossy(&output.stderr)))
        }
        Err(error) => fail(&format!("cannot run the interpreter `{python}`: {error}")),
    };
    let mut lines = answer.lines();
    let mut next = || lines.next().unwrap_or_default().to_owned();
    let minor: u32 = next().parse().unwrap_or(0);
    let includes = [next(), next()];
    let (debug, free_threaded, implementation) = (next() == "1", next() == "1", next());
    if implementation != "cpython" {
        fail(&format!(
            "greenlet's extension module is for CPython; `{python}` is {implementation}"
        ));
    }
    if free_threaded {
        fail(
            "greenlet does not support free-threaded builds of CPython yet: use the ordinary build",
        );
    }
    if minor < 10 {
        fail("greenlet needs CPython 3.10 or newer");
    }

    println!("cargo::rustc-check-cfg=cfg(py_debug)");
    if debug {
        println!("cargo::rustc-cfg=py_debug");
    }
    for version in 11..=15 {
        println!("cargo::rustc-check-cfg=cfg(py3{version})");
        if minor >= version {
            println!("cargo::rustc-cfg=py3{version}");
        }
    }
    let mut build = cc::Build::new();
    // The interpreter may live in another root directory, into which `PYO3_PYTHON` is a script that enters it: its
    // headers are there. Only its own: what they include of the C library is the compiler's.
    match env::var("GREENLET_PYTHON_ROOT") {
        Ok(root) => {
            build.includes(includes.map(|path| format!("{root}{path}")));
            build.flag("-idirafter").flag(format!("{root}/usr/include"));
        }
        Err(_) => {
            build.includes(includes);
        }
    }
    build
        .files(["csrc/cxx.c", "csrc/stackless.c", "csrc/state.c", "csrc/types.c"])
        .flag_if_supported("-Wno-unused-parameter")
        .flag_if_supported("-Wno-missing-field-initializers")
        .flag_if_supported("-fvisibility=hidden")
        // The unwind tables say where the frames are, without a register and five instructions a call.
        .force_frame_pointer(false)
        .compile("greenlet_python");
}

fn fail(message: &str) -> ! {
    println!("cargo::error={message}");
    process::exit(1)
}
