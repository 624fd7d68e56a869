//! A corpus as it lies in the repository: a line of hexadecimal digits for each input, sorted by length, so that thousands of tiny
//! inputs are one file. `found.txt` has those that ever failed, with the target's name in front and the reason behind a `#`.

use crate::run::root;
use std::fs;
use std::path::{Path, PathBuf};

fn file(target: &str) -> PathBuf {
    root().join("fuzz/corpus").join(format!("{target}.txt"))
}

/// Makes sure that there is such a folder.
pub fn folder(path: &Path) -> Result<PathBuf, String> {
    fs::create_dir_all(path).map_err(|error| format!("{}: {error}", path.display()))?;
    Ok(path.to_path_buf())
}

/// Writes the corpus as files into a new folder: that folder, and how many there are.
pub fn unpack(target: &str, into: &Path) -> Result<(PathBuf, usize), String> {
    let text = fs::read_to_string(file(target)).unwrap_or_default();
    let files = write_all(text.lines(), into)?;
    Ok((into.to_path_buf(), files.len()))
}

/// Writes the inputs that once failed in `target` as files into a new folder, and answers their paths.
pub fn unpack_found(target: &str, into: &Path) -> Result<Vec<PathBuf>, String> {
    let text = fs::read_to_string(root().join("fuzz/found.txt")).unwrap_or_default();
    let of_target = text.lines().filter_map(|line| {
        let input = line.split('#').next()?.trim();
        let (name, digits) = input.split_once(' ')?;
        (name == target).then_some(digits.trim())
    });
    write_all(of_target, into)
}

fn write_all<'a>(
    lines: impl Iterator<Item = &'a str>,
    into: &Path,
) -> Result<Vec<PathBuf>, String> {
    let _ = fs::remove_dir_all(into);
    folder(into)?;
    let mut files = Vec::new();
    for (number, line) in lines.enumerate() {
        let bytes = from_hex(line).ok_or_else(|| format!("not hexadecimal: {line}"))?;
        let path = into.join(format!("{number:05}"));
        fs::write(&path, bytes).map_err(|error| format!("{}: {error}", path.display()))?;
        files.push(path);
    }
    Ok(files)
}

/// Makes the corpus of the files in a folder. How many there are.
pub fn pack(target: &str, from: &Path) -> Result<usize, String> {
    let mut inputs = Vec::new();
    for entry in fs::read_dir(from).map_err(|error| error.to_string())?.flatten() {
        inputs.push(fs::read(entry.path()).map_err(|error| error.to_string())?);
    }
    inputs.sort_by(|a, b| a.len().cmp(&b.len()).then(a.cmp(b)));
    let lines: String = inputs.iter().map(|input| to_hex(input) + "\n").collect();
    folder(&root().join("fuzz/corpus"))?;
    fs::write(file(target), lines).map_err(|error| error.to_string())?;
    Ok(inputs.len())
}

fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn from_hex(digits: &str) -> Option<Vec<u8>> {
    let pairs = digits.as_bytes().chunks(2);
    pairs.map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hexadecimal_there_and_back() {
        let bytes: Vec<u8> = (0..=255).collect();
        assert_eq!(from_hex(&to_hex(&bytes)), Some(bytes));
        assert_eq!(from_hex("0g"), None);
    }
}
