//! Instructions of one operation: noise cannot touch them.
//!
//! The program runs itself under callgrind, once for all cases. In the child each case runs `n` and then `2 n`
//! operations, with a client request before and after; the difference by `n` is one operation. What is spent once falls out.

use crate::Case;
use std::collections::HashMap;
use std::process::{Command, Stdio};

const CHILD: &str = "--count-instructions";
const N: u64 = 256;

/// Where a program that counts begins: does the child's part, if it is the child.
pub fn child(cases: &[Case]) {
    if std::env::args().nth(1).as_deref() != Some(CHILD) {
        return;
    }
    for case in cases.iter().filter(|case| !case.slow) {
        let mut run = (case.make)();
        run(N); // what is made at first use
        for n in [N, 2 * N] {
            request(ZERO_STATS, 0);
            run(n);
            let name = format!("{n} {}\0", case.id());
            request(DUMP_STATS_AT, name.as_ptr().expose_provenance());
        }
    }
    std::process::exit(0);
}

/// The instructions of one operation of each case, by its id. Empty where there is no valgrind.
pub fn all() -> HashMap<String, f64> {
    let folder = std::env::temp_dir().join(format!("greenlet-count-{}", std::process::id()));
    if !cfg!(target_arch = "x86_64") || std::fs::create_dir_all(&folder).is_err() {
        return HashMap::new();
    }
    let ran = Command::new("valgrind")
        .args(["-q", "--tool=callgrind", "--dump-instr=no", "--combine-dumps=no"])
        .arg(format!("--callgrind-out-file={}", folder.join("out").display()))
        .arg(std::env::current_exe().unwrap())
        .arg(CHILD)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    let mut totals = HashMap::new();
    if ran.is_ok() {
        for entry in std::fs::read_dir(&folder).unwrap() {
            let text = std::fs::read_to_string(entry.unwrap().path()).unwrap_or_default();
            let field = |start: &str| text.lines().find_map(|line| line.strip_prefix(start));
            let trigger = field("desc: Trigger: Client Request: ");
            let total = field("totals: ").or_else(|| field("summary: "));
            if let (Some(trigger), Some(total)) = (trigger, total) {
                totals.insert(trigger.to_owned(), total.trim().parse::<f64>().unwrap_or(0.0));
            }
        }
    }
    let _ = std::fs::remove_dir_all(&folder);
    let mut counts = HashMap::new();
    for (key, once) in &totals {
        if let Some(id) = key.strip_prefix(&format!("{N} "))
            && let Some(twice) = totals.get(&format!("{} {id}", 2 * N))
        {
            counts.insert(id.to_owned(), (twice - once) / N as f64);
        }
    }
    counts
}

const TOOL: usize = (b'C' as usize) << 24 | (b'T' as usize) << 16;
const ZERO_STATS: usize = TOOL + 1;
const DUMP_STATS_AT: usize = TOOL + 3;

/// Valgrind's client request: a sequence of instructions that does nothing, which valgrind knows.
#[inline(never)]
fn request(request: usize, argument: usize) {
    #[cfg(target_arch = "x86_64")]
    {
        let block = [request, argument, 0, 0, 0, 0];
        // SAFETY: the rotations add up to 128, the exchange is of a register with itself: without valgrind
        // nothing happens. rdx is the result.
        unsafe {
            std::arch::asm!(
                "rol rdi, 3",
                "rol rdi, 13",
                "rol rdi, 61",
                "rol rdi, 51",
                "xchg rbx, rbx",
                in("rax") &block,
                inout("rdx") 0usize => _,
                inout("rdi") 0usize => _,
            );
        }
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = (request, argument);
}
