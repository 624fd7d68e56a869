//! The one list of targets. Tests, cross builds, the README's table and the linkers and runners in
//! `.cargo/config.toml` are all made from it: to add a target, add a row. It must never know how a
//! row is built or run; `toolchain` and `cross` do.

/// One target, or one way to build for it.
#[derive(Debug)]
pub struct Target {
    /// The row's name: the triple, and `+what` where it is a second way to build for that.
    pub name: &'static str,
    /// The triple that cargo is given.
    pub triple: &'static str,
    /// The file in `arch/`.
    pub arch: &'static str,
    /// How it is run, and so what of it is proved.
    pub how: How,
    /// Debian packages for linking and running. (The compiler's are `toolchain`'s business.)
    pub packages: &'static [&'static str],
    /// A script in `xtask/runners/` that prepares what no package of this machine has, and its arguments. With
    /// `--check` in front of them it prepares nothing, and its output says what is missing.
    pub setup: Option<&'static str>,
    /// The linker, where it is not the host's.
    pub linker: Option<&'static str>,
    /// More flags for the compiler, for this row's own build of the library too.
    pub rustflags: &'static str,
    /// More environment for its builds: `CC_…`, `CFLAGS_…`.
    pub env: &'static [(&'static str, &'static str)],
    /// Has the whole test-suite passed there, so that `cargo xtask test` holds it to that? If not, only `cargo xtask cross`
    /// tries it.
    pub settled: bool,
    /// `PROPTEST_CASES` for its runs: as many as the emulator does in a minute or so.
    pub cases: u32,
}

/// How a target's programs are run.
#[derive(Debug)]
#[allow(dead_code, reason = "every way that a row can ask for; not all of them have a row yet")]
pub enum How {
    /// By the machine itself, where it is such a machine.
    Natively,
    /// By qemu's user-mode emulator: its processor name (`qemu-NAME`), and its arguments.
    Qemu(&'static str, &'static str),
    /// By a script in `xtask/runners/` that sets up what it needs, and its arguments (Wine).
    Script(&'static str, &'static str),
    /// On an emulated board, by a `no_std` program.
    Board(Board),
    /// By a program in C, where Rust's library does not run.
    C(CProgram),
    /// Not at all: the crate is compiled and the arch file assembled, and LLVM's tools must say all this of the object.
    Assembled(&'static [&'static str]),
}

/// Programs without an operating system, or as good as: those of `tests/bare`.
#[derive(Debug)]
pub struct Board {
    /// The emulator and its arguments, up to where the program's path goes.
    pub emulator: &'static str,
    /// The exit status of a program that came to its end and found all well.
    pub status: i32,
}

/// A program in C that calls the arch file and its probe.
#[derive(Debug)]
pub struct CProgram {
    /// Where it is, from the root.
    pub source: &'static str,
    /// The compiler and its arguments, to which the files and `-o` are added.
    pub compiler: &'static str,
    /// What runs it.
    pub emulator: &'static str,
    /// How the line ends that says that all was well.
    pub says: &'static str,
}

/// What most rows have in common. `..ROW` takes from it what a row does not say.
const ROW: Target = Target {
    name: "",
    triple: "",
    arch: "",
    how: How::Natively,
    packages: &[],
    setup: None,
    linker: None,
    rustflags: "",
    env: &[],
    settled: false,
    cases: 64,
};

/// Every target that is tested.
pub const TARGETS: &[Target] = &[
    Target {
        name: "x86_64-unknown-linux-gnu",
        triple: "x86_64-unknown-linux-gnu",
        arch: "x86_64_sysv.S",
        settled: true,
        cases: 256,
        ..ROW
    },
    Target {
        name: "x86_64-unknown-linux-musl",
        triple: "x86_64-unknown-linux-musl",
        arch: "x86_64_sysv.S",
        packages: &["musl-tools", "libunwind-14-dev"],
        linker: Some("xtask/linkers/musl"),
        rustflags: "-Clink-self-contained=no -Crelocation-model=static",
        settled: true,
        ..ROW
    },
    Target {
        name: "i686-unknown-linux-gnu",
        triple: "i686-unknown-linux-gnu",
        arch: "x86.S",
        // Else the loader finds the C library of libc6-i386 first, where that is installed, and threads hang.
        how: How::Qemu("i386", "-L /usr/i686-linux-gnu -E LD_LIBRARY_PATH=/usr/i686-linux-gnu/lib"),
        packages: &["gcc-i686-linux-gnu", "libc6-dev-i386-cross", "qemu-user"],
        linker: Some("i686-linux-gnu-gcc"),
        settled: true,
        ..ROW
    },
    Target {
        name: "x86_64-pc-windows-gnu",
        triple: "x86_64-pc-windows-gnu",
        arch: "x86_64_windows.S",
        how: How::Script("wine", "64"),
        packages: &["gcc-mingw-w64-x86-64", "wine64"],
        setup: Some("wine-setup 64"),
        linker: Some("x86_64-w64-mingw32-gcc"),
        settled: true,
        ..ROW
    },
    Target {
        name: "i686-pc-windows-gnu",
        triple: "i686-pc-windows-gnu",
        arch: "x86.S",
        how: How::Script("wine", "32"),
        packages: &["gcc-mingw-w64-i686", "wine64"],
        setup: Some("wine-setup 32"),
        linker: Some("i686-w64-mingw32-gcc"),
        settled: true,
        ..ROW
    },
    Target {
        name: "armv7-unknown-linux-gnueabihf",
        triple: "armv7-unknown-linux-gnueabihf",
        arch: "arm_aapcs.S",
        how: How::Qemu("arm", "-L /usr/arm-linux-gnueabihf"),
        packages: &["gcc-arm-linux-gnueabihf", "libc6-dev-armhf-cross", "qemu-user"],
        linker: Some("arm-linux-gnueabihf-gcc"),
        settled: true,
        ..ROW
    },
    Target {
        name: "arm-unknown-linux-gnueabi",
        triple: "arm-unknown-linux-gnueabi",
        arch: "arm_aapcs.S",
        how: How::Qemu("arm", "-L /usr/arm-linux-gnueabi"),
        packages: &["gcc-arm-linux-gnueabi", "libc6-dev-armel-cross", "qemu-user"],
        linker: Some("arm-linux-gnueabi-gcc"),
        settled: true,
        ..ROW
    },
    Target {
        name: "thumbv7neon-unknown-linux-gnueabihf",
        triple: "thumbv7neon-unknown-linux-gnueabihf",
        arch: "arm_aapcs.S",
        how: How::Qemu("arm", "-L /usr/arm-linux-gnueabihf"),
        packages: &["gcc-arm-linux-gnueabihf", "libc6-dev-armhf-cross", "qemu-user"],
        linker: Some("arm-linux-gnueabihf-gcc"),
        settled: true,
        ..ROW
    },
    Target {
        name: "aarch64-unknown-linux-gnu",
        triple: "aarch64-unknown-linux-gnu",
        arch: "aarch64_aapcs64.S",
        how: How::Qemu("aarch64", "-L /usr/aarch64-linux-gnu"),
        packages: &["gcc-aarch64-linux-gnu", "libc6-dev-arm64-cross", "qemu-user"],
        linker: Some("aarch64-linux-gnu-gcc"),
        settled: true,
        ..ROW
    },
    // Frames whose return addresses are signed, and landing pads that the processor insists on.
    Target {
        name: "aarch64-unknown-linux-gnu+pac-ret,bti",
        triple: "aarch64-unknown-linux-gnu",
        arch: "aarch64_aapcs64.S",
        how: How::Qemu("aarch64", "-cpu max -L /usr/aarch64-linux-gnu"),
        packages: &["gcc-aarch64-linux-gnu", "libc6-dev-arm64-cross", "qemu-user"],
        linker: Some("aarch64-linux-gnu-gcc"),
        rustflags: "-Zbranch-protection=pac-ret,bti --cfg greenlet_bti",
        env: &[("RUSTC_BOOTSTRAP", "1")],
        settled: true,
        ..ROW
    },
    Target {
        name: "powerpc-unknown-linux-gnu",
        triple: "powerpc-unknown-linux-gnu",
        arch: "powerpc_sysv.S",
        how: How::Qemu("ppc", "-L /usr/powerpc-linux-gnu"),
        packages: &["gcc-powerpc-linux-gnu", "libc6-dev-powerpc-cross", "qemu-user"],
        linker: Some("powerpc-linux-gnu-gcc"),
        settled: true,
        ..ROW
    },
    // Vector registers: there are 32-bit processors that have them, and the target's default is one that has not.
    Target {
        name: "powerpc-unknown-linux-gnu+altivec",
        triple: "powerpc-unknown-linux-gnu",
        arch: "powerpc_sysv.S",
        how: How::Qemu("ppc", "-cpu 7400 -L /usr/powerpc-linux-gnu"),
        packages: &["gcc-powerpc-linux-gnu", "libc6-dev-powerpc-cross", "qemu-user"],
        linker: Some("powerpc-linux-gnu-gcc"),
        rustflags: "-Ctarget-feature=+altivec",
        env: &[("RUSTC_BOOTSTRAP", "1")],
        ..ROW
    },
    Target {
        name: "powerpc64-unknown-linux-gnu",
        triple: "powerpc64-unknown-linux-gnu",
        arch: "powerpc64.S",
        how: How::Qemu("ppc64", "-L /usr/powerpc64-linux-gnu"),
        packages: &["gcc-powerpc64-linux-gnu", "libc6-dev-ppc64-cross", "qemu-user"],
        linker: Some("powerpc64-linux-gnu-gcc"),
        settled: true,
        ..ROW
    },
    Target {
        name: "powerpc64le-unknown-linux-gnu",
        triple: "powerpc64le-unknown-linux-gnu",
        arch: "powerpc64.S",
        how: How::Qemu("ppc64le", "-L /usr/powerpc64le-linux-gnu"),
        packages: &["gcc-powerpc64le-linux-gnu", "libc6-dev-ppc64el-cross", "qemu-user"],
        linker: Some("powerpc64le-linux-gnu-gcc"),
        settled: true,
        ..ROW
    },
    Target {
        name: "riscv64gc-unknown-linux-gnu",
        triple: "riscv64gc-unknown-linux-gnu",
        arch: "riscv.S",
        how: How::Qemu("riscv64", "-L /usr/riscv64-linux-gnu"),
        packages: &["gcc-riscv64-linux-gnu", "libc6-dev-riscv64-cross", "qemu-user"],
        linker: Some("riscv64-linux-gnu-gcc"),
        settled: true,
        ..ROW
    },
    Target {
        name: "s390x-unknown-linux-gnu",
        triple: "s390x-unknown-linux-gnu",
        arch: "s390x.S",
        how: How::Qemu("s390x", "-L /usr/s390x-linux-gnu"),
        packages: &["gcc-s390x-linux-gnu", "libc6-dev-s390x-cross", "qemu-user"],
        linker: Some("s390x-linux-gnu-gcc"),
        settled: true,
        ..ROW
    },
    Target {
        name: "mips-unknown-linux-gnu",
        triple: "mips-unknown-linux-gnu",
        arch: "mips.S",
        how: How::Qemu("mips", "-L /usr/mips-linux-gnu"),
        packages: &["gcc-mips-linux-gnu", "libc6-dev-mips-cross", "qemu-user"],
        linker: Some("mips-linux-gnu-gcc"),
        settled: true,
        ..ROW
    },
    Target {
        name: "mipsel-unknown-linux-gnu",
        triple: "mipsel-unknown-linux-gnu",
        arch: "mips.S",
        how: How::Qemu("mipsel", "-L /usr/mipsel-linux-gnu"),
        packages: &["gcc-mipsel-linux-gnu", "libc6-dev-mipsel-cross", "qemu-user"],
        linker: Some("mipsel-linux-gnu-gcc"),
        settled: true,
        ..ROW
    },
    Target {
        name: "mips64el-unknown-linux-gnuabi64",
        triple: "mips64el-unknown-linux-gnuabi64",
        arch: "mips.S",
        // The processor that it takes by default has no 64-bit floating-point registers.
        how: How::Qemu("mips64el", "-cpu MIPS64R2-generic -L /usr/mips64el-linux-gnuabi64"),
        packages: &["gcc-mips64el-linux-gnuabi64", "libc6-dev-mips64el-cross", "qemu-user"],
        linker: Some("mips64el-linux-gnuabi64-gcc"),
        settled: true,
        ..ROW
    },
    Target {
        name: "loongarch64-unknown-linux-gnu",
        triple: "loongarch64-unknown-linux-gnu",
        arch: "loongarch64.S",
        how: How::Script("qemu-loongarch64", ""),
        packages: &["clang-22", "lld-22", "unpacked:loong64-1"],
        linker: Some("xtask/linkers/loongarch64"),
        env: &[("CC_loongarch64_unknown_linux_gnu", "clang-22")],
        settled: true,
        ..ROW
    },
    Target {
        name: "m68k-unknown-linux-gnu",
        triple: "m68k-unknown-linux-gnu",
        arch: "m68k.S",
        how: How::C(CProgram {
            source: "probe/m68k.c",
            compiler: "m68k-linux-gnu-gcc -O1 -static",
            emulator: "qemu-m68k",
            says: ", 0 registers lost",
        }),
        packages: &["gcc-m68k-linux-gnu", "libc6-dev-m68k-cross", "qemu-user"],
        settled: true,
        ..ROW
    },
    Target {
        name: "sparc64-unknown-linux-gnu",
        triple: "sparc64-unknown-linux-gnu",
        arch: "sparc64.S",
        how: How::Qemu("sparc64", "-L /usr/sparc64-linux-gnu"),
        packages: &["gcc-sparc64-linux-gnu", "libc6-dev-sparc64-cross", "qemu-user"],
        linker: Some("sparc64-linux-gnu-gcc"),
        settled: true,
        ..ROW
    },
    Target {
        name: "thumbv6m-none-eabi",
        triple: "thumbv6m-none-eabi",
        arch: "arm_thumb1.S",
        how: How::Board(Board { emulator: "qemu-system-arm -M microbit -kernel", status: 0 }),
        packages: &["gcc-arm-none-eabi", "lld-22", "unpacked:boards-1"],
        linker: Some("ld.lld-22"),
        settled: true,
        ..ROW
    },
    Target {
        name: "thumbv7m-none-eabi",
        triple: "thumbv7m-none-eabi",
        arch: "arm_aapcs.S",
        how: How::Board(Board { emulator: "qemu-system-arm -M lm3s6965evb -kernel", status: 0 }),
        packages: &["clang-22", "lld-22", "unpacked:boards-1"],
        linker: Some("ld.lld-22"),
        env: &[("CC_thumbv7m_none_eabi", "clang-22")],
        settled: true,
        ..ROW
    },
    Target {
        name: "thumbv7em-none-eabihf",
        triple: "thumbv7em-none-eabihf",
        arch: "arm_aapcs.S",
        how: How::Board(Board { emulator: "qemu-system-arm -M mps2-an386 -kernel", status: 0 }),
        packages: &["clang-22", "lld-22", "unpacked:boards-1"],
        linker: Some("ld.lld-22"),
        env: &[("CC_thumbv7em_none_eabihf", "clang-22")],
        settled: true,
        ..ROW
    },
    Target {
        name: "riscv32imac-unknown-none-elf",
        triple: "riscv32imac-unknown-none-elf",
        arch: "riscv.S",
        how: How::Board(Board {
            emulator: "qemu-system-riscv32 -M virt -bios none -kernel",
            status: 0,
        }),
        packages: &["clang-22", "lld-22", "unpacked:boards-1"],
        linker: Some("ld.lld-22"),
        env: &[
            ("CC_riscv32imac_unknown_none_elf", "clang-22"),
            ("CFLAGS_riscv32imac_unknown_none_elf", "-march=rv32imac -mabi=ilp32"),
        ],
        settled: true,
        ..ROW
    },
    Target {
        name: "riscv32e-unknown-none-elf",
        triple: "riscv32e-unknown-none-elf",
        arch: "riscv.S",
        how: How::Board(Board {
            emulator: "qemu-system-riscv32 -M virt -cpu rv32e,zicsr=true -bios none -kernel",
            status: 0,
        }),
        packages: &["clang-22", "lld-22", "unpacked:boards-1"],
        linker: Some("ld.lld-22"),
        env: &[
            ("CC_riscv32e_unknown_none_elf", "clang-22"),
            ("CFLAGS_riscv32e_unknown_none_elf", "-march=rv32e -mabi=ilp32e"),
        ],
        settled: true,
        ..ROW
    },
    Target {
        name: "riscv64gc-unknown-none-elf",
        triple: "riscv64gc-unknown-none-elf",
        arch: "riscv.S",
        how: How::Board(Board {
            emulator: "qemu-system-riscv64 -M virt -bios none -kernel",
            status: 0,
        }),
        packages: &["clang-22", "lld-22", "unpacked:boards-1"],
        linker: Some("ld.lld-22"),
        env: &[
            ("CC_riscv64gc_unknown_none_elf", "clang-22"),
            ("CFLAGS_riscv64gc_unknown_none_elf", "-march=rv64gc -mabi=lp64d"),
        ],
        settled: true,
        ..ROW
    },
    Target {
        name: "aarch64-unknown-none",
        triple: "aarch64-unknown-none",
        arch: "aarch64_aapcs64.S",
        how: How::Board(Board {
            emulator: "qemu-system-aarch64 -M virt -cpu cortex-a57 -kernel",
            status: 0,
        }),
        packages: &["clang-22", "lld-22", "unpacked:boards-1"],
        linker: Some("ld.lld-22"),
        env: &[("CC_aarch64_unknown_none", "clang-22")],
        settled: true,
        ..ROW
    },
    Target {
        name: "x86_64-unknown-none",
        triple: "x86_64-unknown-none",
        arch: "x86_64_sysv.S",
        how: How::Board(Board { emulator: "qemu-system-x86_64 -M microvm -kernel", status: 33 }),
        packages: &["lld-22", "unpacked:boards-1"],
        linker: Some("ld.lld-22"),
        rustflags: "-Crelocation-model=static",
        settled: true,
        ..ROW
    },
    Target {
        name: "riscv32gc-unknown-linux-gnu",
        triple: "riscv32gc-unknown-linux-gnu",
        arch: "riscv.S",
        how: How::Board(Board { emulator: "qemu-riscv32", status: 0 }),
        packages: &["clang-22", "lld-22", "qemu-user"],
        linker: Some("ld.lld-22"),
        rustflags: "-Clinker-flavor=ld.lld -Cpanic=abort -Crelocation-model=static -Ctarget-feature=+crt-static",
        env: &[
            ("CC_riscv32gc_unknown_linux_gnu", "clang-22"),
            ("CFLAGS_riscv32gc_unknown_linux_gnu", "-march=rv32gc -mabi=ilp32d"),
        ],
        settled: true,
        ..ROW
    },
    Target {
        name: "aarch64-apple-darwin",
        triple: "aarch64-apple-darwin",
        arch: "aarch64_aapcs64.S",
        how: How::Assembled(&[
            "Format: Mach-O arm64",
            " T _greenlet_switch\n",
            "Name: __compact_unwind",
            "Name: __eh_frame",
            "DW_CFA_offset: W19",
            "DW_CFA_offset_extended: B15",
            "DW_CFA_undefined: W30",
        ]),
        packages: &["clang-22", "llvm-22"],
        env: &[
            ("CC_aarch64_apple_darwin", "clang-22"),
            ("AR_aarch64_apple_darwin", "llvm-ar-22"),
            ("SDKROOT", "/"),
        ],
        settled: true,
        ..ROW
    },
    Target {
        name: "x86_64-apple-darwin",
        triple: "x86_64-apple-darwin",
        arch: "x86_64_sysv.S",
        how: How::Assembled(&[
            "Format: Mach-O 64-bit x86-64",
            " T _greenlet_switch\n",
            " T _greenlet_jump\n",
            "Name: __eh_frame",
            "DW_CFA_offset: R15",
            "DW_CFA_offset: RBX",
            "DW_CFA_undefined: RIP",
        ]),
        packages: &["clang-22", "llvm-22"],
        env: &[
            ("CC_x86_64_apple_darwin", "clang-22"),
            ("AR_x86_64_apple_darwin", "llvm-ar-22"),
            ("SDKROOT", "/"),
        ],
        settled: true,
        ..ROW
    },
    Target {
        name: "x86_64-pc-windows-msvc",
        triple: "x86_64-pc-windows-msvc",
        arch: "x86_64_windows.S",
        how: How::Assembled(&[
            "Format: COFF-x86-64",
            " T greenlet_switch\n",
            "Name: .pdata",
            "Name: .xdata",
            "StartAddress: greenlet_switch (",
            "SAVE_XMM128 reg=XMM15",
            "PUSH_NONVOL reg=RBP",
            "StartAddress: greenlet_switch_restoring (",
        ]),
        packages: &["clang-22", "llvm-22"],
        env: &[
            ("CC_x86_64_pc_windows_msvc", "clang-22"),
            ("AR_x86_64_pc_windows_msvc", "llvm-lib-22"),
        ],
        settled: true,
        ..ROW
    },
    Target {
        name: "aarch64-pc-windows-msvc",
        triple: "aarch64-pc-windows-msvc",
        arch: "aarch64_windows.S",
        how: How::Assembled(&[
            "Format: COFF-ARM64",
            " T greenlet_switch\n",
            "Name: .pdata",
            "Name: .xdata",
            "Function: greenlet_switch (",
            "stp d14, d15, [sp, #160]",
            "Function: greenlet_switch_restoring (",
            "stp x29, x30, [sp, #0]",
        ]),
        packages: &["clang-22", "llvm-22"],
        env: &[
            ("CC_aarch64_pc_windows_msvc", "clang-22"),
            ("AR_aarch64_pc_windows_msvc", "llvm-lib-22"),
        ],
        settled: true,
        ..ROW
    },
];

impl Target {
    /// Is this the machine that we run on?
    pub fn is_host(&self) -> bool {
        self.name == self.triple && self.triple == host()
    }

    /// What cargo is to run its programs with, `None` for directly.
    pub fn runner(&self) -> Option<String> {
        let runner = match &self.how {
            How::Natively | How::C(_) | How::Assembled(_) => return None,
            How::Qemu(cpu, arguments) => format!("xtask/runners/qemu {cpu} {arguments}"),
            How::Script(script, arguments) => format!("xtask/runners/{script} {arguments}"),
            How::Board(board) => format!("xtask/runners/board {}", board.emulator),
        };
        Some(runner.trim_end().to_string())
    }

    /// How it is run, for a reader.
    pub fn how_in_words(&self) -> String {
        match &self.how {
            How::Natively => "natively".into(),
            How::Qemu(cpu, _) => format!("`qemu-{cpu}`"),
            How::Script(script, _) => script.to_string(),
            How::Board(board) => {
                let words: Vec<&str> = board.emulator.split_whitespace().collect();
                let machine = words.windows(2).find(|pair| pair[0] == "-M").map(|pair| pair[1]);
                match machine {
                    Some(machine) => format!("`{}`, board `{machine}`", words[0]),
                    None => format!("`{}`", words[0]),
                }
            }
            How::C(program) => {
                format!("`{}`", program.emulator.split(' ').next().unwrap_or_default())
            }
            How::Assembled(_) => "not at all".into(),
        }
    }

    /// What of it is proved, for a reader.
    pub fn state(&self) -> &'static str {
        match self.how {
            How::Assembled(_) => "assembled; not tested",
            _ if !self.settled => "not tested by `cargo xtask test` yet",
            How::Natively | How::Qemu(..) | How::Script(..) => "executed: the whole test-suite",
            How::Board(_) => "executed: registers and random programs, `no_std`",
            How::C(_) => "executed: the register test, in C",
        }
    }
}

/// The rows that the user named, by name or triple; all of them if none was named.
pub fn chosen(names: &[String]) -> Result<Vec<&'static Target>, String> {
    if names.is_empty() {
        return Ok(TARGETS.iter().collect());
    }
    let mut chosen = Vec::new();
    for name in names {
        let before = chosen.len();
        chosen.extend(TARGETS.iter().filter(|t| t.name == name || t.triple == name));
        if chosen.len() == before {
            let known: Vec<&str> = TARGETS.iter().map(|target| target.name).collect();
            return Err(format!("no target `{name}` in the list: {}", known.join(" ")));
        }
    }
    Ok(chosen)
}

/// The triple of this machine: the one that the compiler makes programs for when none is named.
pub fn host() -> &'static str {
    use std::sync::OnceLock;
    static HOST: OnceLock<String> = OnceLock::new();
    HOST.get_or_init(|| {
        let version = crate::run::Run::new("rustc").arg("-vV").output().unwrap_or_default();
        let host = version.lines().find_map(|line| line.strip_prefix("host: "));
        host.unwrap_or("unknown").to_string()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn names_are_unique_and_begin_with_the_triple() {
        let mut seen = HashSet::new();
        for target in TARGETS {
            assert!(seen.insert(target.name), "{} twice", target.name);
            let rest = target.name.strip_prefix(target.triple);
            assert!(rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('+')));
        }
    }

    #[test]
    fn runners_and_arch_files_exist() {
        let root = crate::run::root();
        for target in TARGETS {
            assert!(root.join("arch").join(target.arch).exists(), "{}", target.arch);
            if let How::Qemu(..) | How::Script(..) | How::Board(..) = target.how {
                let runner = target.runner().unwrap();
                assert!(root.join(runner.split(' ').next().unwrap()).exists(), "{runner}");
            }
        }
    }

    #[test]
    fn a_target_that_is_not_in_the_list_is_refused() {
        assert!(chosen(&["pdp11".into()]).is_err());
        assert_eq!(chosen(&[]).unwrap().len(), TARGETS.len());
    }
}
