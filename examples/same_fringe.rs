//! `same_fringe [TREE TREE]`: have two trees the same leaves in the same order, whatever their shapes?
//!
//! A tree is written as `((a b) (c))`. Two recursive walks are compared leaf by leaf, and neither
//! goes on once they differ. There is no list of leaves.

use greenlet::{Generator, Yielder};
use std::process::ExitCode;
use std::rc::Rc;
use std::time::Instant;

enum Tree {
    Leaf(String),
    Node(Vec<Rc<Tree>>),
}

/// The walk, as anybody would write it.
fn walk(tree: &Tree, out: &Yielder<String>) {
    match tree {
        Tree::Leaf(name) => out.yield_(name.clone()),
        Tree::Node(children) => children.iter().for_each(|child| walk(child, out)),
    }
}

fn leaves(tree: &Rc<Tree>) -> Generator<String> {
    let tree = tree.clone();
    // SAFETY: nothing outside points into the frames of `walk`.
    unsafe { Generator::new(move |out: &Yielder<String>| walk(&tree, out)) }
}

/// Where the two begin to differ, if they do.
fn difference(left: &Rc<Tree>, right: &Rc<Tree>) -> Option<(usize, String, String)> {
    let (mut left, mut right) = (leaves(left), leaves(right));
    let name = |leaf: Option<String>| leaf.unwrap_or_else(|| "the end".into());
    for number in 1.. {
        match (left.next(), right.next()) {
            (None, None) => break,
            (a, b) if a == b => {}
            (a, b) => return Some((number, name(a), name(b))),
        }
    }
    None
}

/// Reads a tree. Recursive, but what it recurses over is as deep as what somebody has typed.
fn parse(text: &str) -> Result<Rc<Tree>, String> {
    let spaced = text.replace('(', " ( ").replace(')', " ) ");
    let mut words = spaced.split_whitespace().peekable();
    let tree = node(&mut words)?;
    match words.next() {
        None => Ok(tree),
        Some(word) => Err(format!("`{word}` follows the tree in `{text}`")),
    }
}

fn node<'a>(
    words: &mut std::iter::Peekable<impl Iterator<Item = &'a str>>,
) -> Result<Rc<Tree>, String> {
    match words.next() {
        None => Err("a tree ends too early".into()),
        Some(")") => Err("a `)` without its `(`".into()),
        Some("(") => {
            let mut children = Vec::new();
            while words.next_if_eq(&")").is_none() {
                children.push(node(words)?);
            }
            Ok(Rc::new(Tree::Node(children)))
        }
        Some(word) => Ok(Rc::new(Tree::Leaf(word.into()))),
    }
}

/// The leaves from `from` up to `to`; `lean` says where a node is divided.
fn grown(from: usize, to: usize, lean: usize) -> Rc<Tree> {
    if to - from == 1 {
        return Rc::new(Tree::Leaf(from.to_string()));
    }
    let middle = (from + (to - from) * lean / 100).clamp(from + 1, to - 1);
    Rc::new(Tree::Node(vec![grown(from, middle, lean), grown(middle, to, lean)]))
}

fn show(left: &Rc<Tree>, right: &Rc<Tree>) {
    let begin = Instant::now();
    let found = difference(left, right);
    let time = begin.elapsed();
    match found {
        None => println!("the same fringe, in {time:?}"),
        Some((number, a, b)) => println!("they differ at leaf {number}: {a}, {b}; in {time:?}"),
    }
}

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let (left, right) = match &words[..] {
        [] => ("((a b) (c d))", "(a (b (c)) d)"),
        [left, right] => (left.as_str(), right.as_str()),
        _ => {
            eprintln!("usage: same_fringe [TREE TREE]");
            return ExitCode::from(2);
        }
    };
    let (left, right) = match (parse(left), parse(right)) {
        (Ok(left), Ok(right)) => (left, right),
        (Err(why), _) | (_, Err(why)) => {
            eprintln!("same_fringe: {why}");
            return ExitCode::from(2);
        }
    };
    show(&left, &right);
    if words.is_empty() {
        const LEAVES: usize = 100_000;
        println!("two of {LEAVES} leaves, one leaning to the left, one to the right:");
        let (mut left, right) = (grown(0, LEAVES, 80), grown(0, LEAVES, 20));
        show(&left, &right);
        println!("the same with another first leaf:");
        left = Rc::new(Tree::Node(vec![Rc::new(Tree::Leaf("new".into())), left]));
        show(&left, &right);
    }
    ExitCode::SUCCESS
}
