//! The bytes of an arch file: assembles it, altered or not, finds out where each line's instruction
//! is, and where the whole lies in a program. It must never run one.

use super::lines::{self, Line};
use crate::run::Run;
use object::{Object, ObjectSection, ObjectSymbol};
use std::collections::BTreeMap;
use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};

/// An arch file, assembled.
pub struct Source {
    text: String,
    assemble: Vec<String>,
    directory: PathBuf,
    code: Code,
    /// The lines that made bytes, with those bytes' place in `code`.
    lines: Vec<(Line, Range<usize>)>,
    /// Instructions that do nothing, of all the lengths that there are.
    nops: Vec<Vec<u8>>,
}

/// What an object has in the section that the functions are in.
struct Code {
    bytes: Vec<u8>,
    /// Which of them the linker fills in.
    linked: Vec<Range<usize>>,
    /// Addresses of our labels.
    labels: BTreeMap<String, usize>,
}

/// Other bytes for one instruction, as an offset in the functions' section.
#[derive(Debug)]
pub struct Patch {
    pub at: usize,
    pub bytes: Vec<u8>,
}

/// A line, altered.
pub struct Mutant {
    /// What was done, for a reader.
    pub what: String,
    /// How to make it so in a program; `None` if it cannot be assembled to the same length.
    pub patches: Option<Vec<Patch>>,
}

/// A program, and where in its file the functions begin.
pub struct Place {
    pub bytes: Vec<u8>,
    pub at: usize,
}

const LABEL: &str = "xtask_line_";
const END: &str = "xtask_end";
const AFTER_END: &str = "xtask_after_end";
const NOPS: &[&str] = &["nop", "c.nop", "nopr"];

impl Source {
    /// Assembles `file` by this command, to which input and output are added.
    pub fn new(file: PathBuf, assemble: Vec<String>, directory: PathBuf) -> Result<Source, String> {
        let text = fs::read_to_string(&file).map_err(|e| format!("{}: {e}", file.display()))?;
        let nothing = Code { bytes: Vec::new(), linked: Vec::new(), labels: BTreeMap::new() };
        let mut source = Source {
            text,
            assemble,
            directory,
            code: nothing,
            lines: Vec::new(),
            nops: Vec::new(),
        };
        source.code = source.code_of(&source.text)?;

        let instructions = lines::instructions(&source.text);
        let labelled = source.code_of(&with_labels(&source.text, &instructions, ""))?;
        if !labelled.bytes.starts_with(&source.code.bytes) {
            return Err("labels change what the assembler makes".into());
        }
        let mut addresses: Vec<usize> = labelled.labels.values().copied().collect();
        addresses.push(source.code.bytes.len());
        addresses.sort_unstable();
        for line in instructions {
            let Some(&begin) = labelled.labels.get(&format!("{LABEL}{}", line.number)) else {
                continue; // in a branch of the preprocessor that was not taken
            };
            let end = addresses.iter().copied().find(|address| *address > begin);
            // Lines before the last label at an address make nothing: directives in disguise.
            let last = labelled.labels.iter().filter(|(_, address)| **address == begin);
            let last = last.filter_map(|(name, _)| name.strip_prefix(LABEL)?.parse::<usize>().ok());
            if last.max() == Some(line.number)
                && !line.padding
                && let Some(end) = end
            {
                source.lines.push((line, begin..end));
            }
        }
        for nop in NOPS {
            if let Ok(code) = source.code_of(&with_labels(&source.text, &[], nop))
                && let Some(&begin) = code.labels.get(END)
                && let Some(&end) = code.labels.get(AFTER_END)
            {
                // Not up to the section's end: some assemblers fill it up.
                source.nops.push(code.bytes[begin..end].to_vec());
            }
        }
        source.nops.retain(|nop| !nop.is_empty() && nop.len() <= 4);
        source.nops.sort_by_key(|nop| std::cmp::Reverse(nop.len()));
        if source.nops.is_empty() || source.lines.is_empty() {
            return Err("found no instruction".into());
        }
        Ok(source)
    }

    /// The lines that made bytes.
    pub fn lines(&self) -> impl Iterator<Item = &Line> {
        self.lines.iter().map(|(line, _)| line)
    }

    /// A line deleted, and altered in every way that gives other bytes of the same length.
    pub fn mutants(&self, line: &Line) -> Vec<Mutant> {
        let range = self.lines.iter().find(|(other, _)| other == line).map(|(_, range)| range);
        let Some(range) = range else { return Vec::new() };
        let deleted =
            self.nothing(range.len()).filter(|bytes| bytes[..] != self.code.bytes[range.clone()]);
        let mut mutants = Vec::new();
        if let Some(bytes) = deleted {
            let patches = Some(vec![Patch { at: range.start, bytes }]);
            mutants.push(Mutant { what: format!("without `{}`", line.code), patches });
        }
        for new in lines::altered(&line.code) {
            let what = format!("`{}` -> `{new}`", line.code);
            let changed = self.text.lines().enumerate().map(|(index, text)| {
                if index + 1 == line.number {
                    text.replacen(&line.code, &new, 1)
                } else {
                    text.into()
                }
            });
            let changed: Vec<String> = changed.collect();
            let patches = self.code_of(&(changed.join("\n") + "\n")).ok();
            let patches = patches.and_then(|code| self.differences(&code, range));
            match &patches {
                Some(patches) if patches.is_empty() => {} // another way to write the same
                _ => mutants.push(Mutant { what, patches }),
            }
        }
        mutants
    }

    /// Where the functions are in a program; `None` if it does not have them.
    pub fn find_in(&self, program: &Path) -> Result<Option<Place>, String> {
        let bytes = fs::read(program).map_err(|e| format!("{}: {e}", program.display()))?;
        let mut found = None;
        // Arch files are aligned to 4 at the least, wherever that matters; 2 is for Thumb.
        for at in (0..bytes.len().saturating_sub(self.code.bytes.len())).step_by(2) {
            if self.same(&bytes, at) {
                if found.is_some() {
                    return Err(format!("{}: has it twice", program.display()));
                }
                found = Some(at);
            }
        }
        Ok(found.map(|at| Place { bytes, at }))
    }

    /// The program has, at this place, what we assemble.
    pub fn check(&self, program: &[u8], at: usize) -> Result<(), String> {
        match self.same(program, at) {
            true => Ok(()),
            false => Err("the program was assembled differently".into()),
        }
    }

    fn same(&self, program: &[u8], at: usize) -> bool {
        let ours = &self.code.bytes;
        if program[at] != ours[0] && !self.is_linked(0) {
            return false;
        }
        (0..ours.len()).all(|i| program[at + i] == ours[i] || self.is_linked(i))
    }

    fn is_linked(&self, offset: usize) -> bool {
        self.code.linked.iter().any(|range| range.contains(&offset))
    }

    /// So many bytes of instructions that do nothing.
    fn nothing(&self, length: usize) -> Option<Vec<u8>> {
        let mut bytes = Vec::new();
        while bytes.len() < length {
            let rest = length - bytes.len();
            bytes.extend(self.nops.iter().find(|nop| nop.len() <= rest)?);
        }
        Some(bytes)
    }

    fn differences(&self, other: &Code, range: &Range<usize>) -> Option<Vec<Patch>> {
        if other.bytes.len() != self.code.bytes.len() || other.linked != self.code.linked {
            return None;
        }
        let differs = |at: &usize| other.bytes[*at] != self.code.bytes[*at];
        let at: Vec<usize> = (0..other.bytes.len()).filter(differs).collect();
        if at.iter().any(|at| !range.contains(at)) {
            return None;
        }
        Some(at.iter().map(|&at| Patch { at, bytes: vec![other.bytes[at]] }).collect())
    }

    fn code_of(&self, text: &str) -> Result<Code, String> {
        let source = self.directory.join("mutant.S");
        let object = self.directory.join("mutant.o");
        let _ = fs::remove_file(&object);
        fs::write(&source, text).map_err(|error| error.to_string())?;
        let (program, arguments) = self.assemble.split_first().ok_or("no assembler")?;
        let done = Run::new(program)
            .args(arguments)
            .arg("-o")
            .arg(&object)
            .arg("-c")
            .arg(&source)
            .quiet()
            .done();
        if !done.ok() {
            return Err(done.stderr);
        }
        read(&fs::read(&object).map_err(|error| error.to_string())?)
    }
}

/// The text with a label before each of these lines and one at the end, then one more instruction.
fn with_labels(text: &str, lines: &[Line], last: &str) -> String {
    let mut new = String::new();
    for (index, line) in text.lines().enumerate() {
        let ours = lines.iter().find(|ours| ours.number == index + 1);
        match ours.and_then(|ours| Some((ours, line.find(&ours.code)?))) {
            Some((ours, at)) => {
                new += &format!("{}{LABEL}{}: {}\n", &line[..at], ours.number, &line[at..]);
            }
            None => new += &format!("{line}\n"),
        }
    }
    new + &format!("\t.text\n{END}:\n\t{last}\n{AFTER_END}:\n")
}

/// The section of an object that our functions are in.
fn read(file: &[u8]) -> Result<Code, String> {
    let file = object::File::parse(file).map_err(|error| error.to_string())?;
    let section = file.section_by_name(".text").ok_or("the object has no .text")?;
    let labels = file
        .symbols()
        .filter(|symbol| symbol.section_index() == Some(section.index()))
        .filter_map(|symbol| Some((symbol.name().ok()?.to_string(), symbol.address())))
        .filter(|(name, _)| name.starts_with(LABEL) || name == END || name == AFTER_END)
        // Bit 0 says Thumb, where it is set.
        .map(|(name, address)| (name, (address & !u64::from(is_arm(&file))) as usize))
        .collect();
    let linked = section.relocations().map(|(at, _)| at as usize..at as usize + 4).collect();
    let bytes = section.data().map_err(|error| error.to_string())?.to_vec();
    Ok(Code { bytes, linked, labels })
}

fn is_arm(file: &object::File) -> bool {
    file.architecture() == object::Architecture::Arm
}
