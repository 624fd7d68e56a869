//! Follows docs/vendoring.md word by word: each `sh` block is a script, run in an empty folder, and its own tests fail it.

use super::{must, outcome};
use crate::run::{Run, root};
use crate::test::Row;
use std::fs;
use std::time::Duration;

pub fn rows() -> Vec<Row> {
    vec![Row {
        name: "vendoring: the page".into(),
        packages: vec!["pkg-config"],
        quick: false,
        run: Box::new(|| outcome(follow())),
    }]
}

/// The sizes that the page has: it would be easy to lose one in a change of the page.
const SIZES: usize = 3;

fn follow() -> Result<usize, String> {
    let page = fs::read_to_string(root().join("docs/vendoring.md")).map_err(|e| e.to_string())?;
    let scripts = scripts(&page);
    if scripts.len() != SIZES {
        return Err(format!("the page has {} scripts, not {SIZES}", scripts.len()));
    }
    // Outside of this repository, whose workspace would claim what is made there.
    let directory = std::env::temp_dir().join(format!("greenlet-vendoring-{}", std::process::id()));
    let result = scripts.iter().enumerate().try_for_each(|(index, script)| {
        let directory = directory.join(index.to_string());
        fs::create_dir_all(&directory).map_err(|error| error.to_string())?;
        let file = directory.join("script.sh");
        fs::write(&file, script).map_err(|error| error.to_string())?;
        let bash = Run::new("bash").words("-euo pipefail -x").arg(&file).directory(&directory);
        let bash = bash.env("GREENLET", root());
        must(bash.limit(Duration::from_secs(900))).map(|_| ())
    });
    let _ = fs::remove_dir_all(&directory);
    result.map(|()| scripts.len())
}

/// The `sh` blocks of a page.
fn scripts(page: &str) -> Vec<String> {
    let blocks = page.split("\n```sh\n").skip(1);
    blocks.filter_map(|rest| Some(rest.split_once("\n```")?.0.to_string() + "\n")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_sh_blocks_are_scripts() {
        let page = "a\n```sh\none\ntwo\n```\nb\n```c\nint x;\n```\n```sh\nthree\n```\n";
        assert_eq!(scripts(page), ["one\ntwo\n", "three\n"]);
    }
}
