//! The text of an arch file: which lines hold an instruction, and how one can be altered. It must
//! never know an instruction set: what comes of an alteration that is no instruction, the assembler
//! says.

/// A line with an instruction.
#[derive(Debug, PartialEq)]
pub struct Line {
    /// Counted from 1.
    pub number: usize,
    /// The instruction, without label and comment.
    pub code: String,
    /// It is no instruction, but makes bytes between them: `.p2align`.
    pub padding: bool,
    /// What its comment says after `survives:`.
    pub survives: Option<String>,
}

/// The lines with an instruction or padding. Bodies of macros have none: the line that uses one does.
pub fn instructions(text: &str) -> Vec<Line> {
    let mut lines = Vec::new();
    let (mut in_comment, mut in_macro, mut continued) = (false, false, false);
    for (index, line) in text.lines().enumerate() {
        let (code, comment) = split(line, &mut in_comment);
        let code = code.trim();
        let of_preprocessor = continued || code.starts_with('#');
        continued = of_preprocessor && line.trim_end().ends_with('\\');
        in_macro |= code.starts_with(".macro");
        let hidden = in_macro || of_preprocessor;
        in_macro &= !code.starts_with(".endm");
        let code = after_label(code);
        let padding = [".p2align", ".align", ".balign"].iter().any(|word| code.starts_with(word));
        if hidden || !padding && !code.starts_with(|c: char| c.is_ascii_alphabetic()) {
            continue;
        }
        let survives = comment.split_once("survives:").map(|(_, reason)| reason);
        let survives =
            survives.map(|reason| reason.trim().trim_end_matches("*/").trim().to_string());
        lines.push(Line { number: index + 1, code: code.to_string(), padding, survives });
    }
    lines
}

/// Code and comment of a line. `in_comment`: whether a `/*` is open before, and after it.
fn split(line: &str, in_comment: &mut bool) -> (String, String) {
    let (mut code, mut comment) = (String::new(), String::new());
    let mut rest = line;
    while !rest.is_empty() {
        let end = if *in_comment {
            rest.find("*/").map(|at| at + 2)
        } else {
            ["/*", "//"].iter().filter_map(|mark| rest.find(mark)).min()
        };
        let (here, there) = rest.split_at(end.unwrap_or(rest.len()));
        if *in_comment { &mut comment } else { &mut code }.push_str(here);
        if end.is_some() && !*in_comment && there.starts_with("//") {
            comment.push_str(there);
            break;
        }
        *in_comment ^= end.is_some();
        // The opening mark belongs to the comment that it opens.
        let skip = if *in_comment && end.is_some() { 2 } else { 0 };
        rest = &there[skip..];
    }
    (code, comment)
}

/// What stands behind `label:` or `LOCAL(label):`.
fn after_label(code: &str) -> &str {
    match code.split_once(':') {
        Some((label, rest)) if !label.contains(|c: char| c.is_whitespace() || c == ',') => {
            after_label(rest.trim_start())
        }
        _ => code,
    }
}

/// The instruction altered, in every way that we know.
pub fn altered(code: &str) -> Vec<String> {
    let (mnemonic, operands) = code.split_once(char::is_whitespace).unwrap_or((code, ""));
    let operands = split_operands(operands.trim());
    let mut all: Vec<String> = Vec::new();
    let with = |operands: &[String]| format!("{mnemonic} {}", operands.join(", "));

    if operands.len() >= 2 && is_name(&operands[0]) && is_name(&operands[1]) {
        let mut swapped = operands.clone();
        swapped.swap(0, 1);
        all.push(with(&swapped));
    }
    for (index, operand) in operands.iter().enumerate() {
        let mut changed = operands.clone();
        let new = [neighbour(operand), number_changed(operand, 8), number_changed(operand, -8)];
        for new in new.into_iter().flatten() {
            changed[index] = new;
            all.push(with(&changed));
        }
    }
    if let Some(opposite) = opposite(mnemonic) {
        all.push(format!("{opposite} {}", operands.join(", ")));
    }
    all.retain(|new| new.trim() != code.trim());
    all.dedup();
    all
}

/// Operands, at the commas that are not in brackets.
fn split_operands(text: &str) -> Vec<String> {
    let (mut all, mut depth) = (vec![String::new()], 0);
    for c in text.chars() {
        match c {
            '[' | '(' | '{' => depth += 1,
            ']' | ')' | '}' => depth -= 1,
            ',' if depth == 0 => {
                all.push(String::new());
                continue;
            }
            _ => {}
        }
        all.last_mut().expect("never empty").push(c);
    }
    all.iter().map(|operand| operand.trim().to_string()).filter(|o| !o.is_empty()).collect()
}

/// Is it one bare name, as a register is?
fn is_name(operand: &str) -> bool {
    let name = operand.trim_start_matches(['%', '$']);
    let letter = name.starts_with(|c: char| c.is_ascii_alphabetic());
    let number = name.starts_with(|c: char| c.is_ascii_digit()) && name.len() < operand.len();
    (letter || number) && name.chars().all(|c| c.is_ascii_alphanumeric())
}

/// Another register of the same kind: the next number, or the next of those that have names.
fn neighbour(operand: &str) -> Option<String> {
    const NAMED: &[&[&str]] = &[
        &["rbx", "rbp"],
        &["rax", "rcx", "rdx"],
        &["rdi", "rsi"],
        &["ebx", "ebp", "esi", "edi"],
        &["eax", "ecx", "edx"],
    ];
    if !is_name(operand) {
        return None;
    }
    let name = operand.trim_start_matches(['%', '$']);
    let sigil = &operand[..operand.len() - name.len()];
    for names in NAMED {
        if let Some(at) = names.iter().position(|known| *known == name) {
            return Some(format!("{sigil}{}", names[(at + 1) % names.len()]));
        }
    }
    let digits = name.trim_start_matches(|c: char| c.is_ascii_alphabetic());
    let number: u32 = digits.parse().ok()?;
    Some(format!("{sigil}{}{}", &name[..name.len() - digits.len()], number + 1))
}

/// The last number in an operand that is not part of a name, changed by so much.
fn number_changed(operand: &str, by: i64) -> Option<String> {
    let of_name = |c: char| c.is_ascii_alphanumeric() || "_%$.".contains(c);
    let mut found = None;
    let mut at = 0;
    while let Some(start) = operand[at..].find(|c: char| c.is_ascii_digit()).map(|i| at + i) {
        let length = operand[start..].find(|c: char| !c.is_ascii_alphanumeric());
        let end = length.map_or(operand.len(), |length| start + length);
        let before = operand[..start].chars().next_back();
        let in_name = before.is_some_and(|c| of_name(c) && !(c == '$' && start == 1));
        if !in_name && number(&operand[start..end]).is_some() {
            found = Some((start, end));
        }
        at = end;
    }
    let (start, end) = found?;
    let negative = operand[..start].ends_with('-');
    let number = number(&operand[start..end])?;
    let number = if negative { -number } else { number } + by;
    let start = if negative { start - 1 } else { start };
    // `rsp - 8` becomes `rsp + 0`, `#-176` becomes `#-168`.
    let sign = if negative
        && number >= 0
        && operand[..start].trim_end().ends_with(|c: char| c.is_ascii_alphanumeric())
    {
        "+"
    } else {
        ""
    };
    let front = &operand[..start];
    let front = if number < 0 && front.trim_end().ends_with('+') {
        front.trim_end().trim_end_matches('+')
    } else {
        front
    };
    Some(format!("{front}{sign}{number}{}", &operand[end..]))
}

/// A number as assemblers write it.
fn number(text: &str) -> Option<i64> {
    match text.strip_prefix("0x") {
        Some(digits) => i64::from_str_radix(digits, 16).ok(),
        None => text.parse().ok(),
    }
}

/// The branch that is taken when this one is not.
fn opposite(mnemonic: &str) -> Option<&'static str> {
    const PAIRS: &[(&str, &str)] = &[
        ("jz", "jnz"),
        ("je", "jne"),
        ("cbz", "cbnz"),
        ("beq", "bne"),
        ("beqz", "bnez"),
        ("b.eq", "b.ne"),
        ("jo", "jno"),
        ("jecxz", "jmp"),
        ("brz", "brnz"),
        ("brz,pn", "brnz,pn"),
    ];
    PAIRS.iter().find_map(|(a, b)| match mnemonic {
        m if m == *a => Some(*b),
        m if m == *b => Some(*a),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_with_an_instruction_are_found() {
        let text = "/* two\n lines */ .text\n#define X \\\n  nop\nSYM(f):\n  push rbx  /* survives: why not */\n\
            .Lx: pop rbx // survives: it is so\n.p2align 4\n.macro m\n nop\n.endm\n  .cfi_endproc\n  m\n";
        let lines = instructions(text);
        let found: Vec<_> =
            lines.iter().map(|l| (l.number, l.code.as_str(), l.survives.as_deref())).collect();
        let expected = [
            (6, "push rbx", Some("why not")),
            (7, "pop rbx", Some("it is so")),
            (8, ".p2align 4", None),
            (13, "m", None),
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn alterations() {
        let has = |code, new: &str| {
            let all = altered(code);
            assert!(all.iter().any(|one| one == new), "{code}: {all:?}");
        };
        has("stp x19, x20, [sp, #16]", "stp x20, x19, [sp, #16]");
        has("stp x19, x20, [sp, #16]", "stp x19, x20, [sp, #24]");
        has("stp x29, x30, [sp, #-176]!", "stp x29, x30, [sp, #-168]!");
        has("push r12", "push r13");
        has("mov rdi, r13", "mov r13, rdi");
        has("fldcw [rsp + 4]", "fldcw [rsp + 12]");
        has("fldcw [rsp + 4]", "fldcw [rsp -4]");
        has("sub rsp, 8", "sub rsp, 16");
        has("lw $16, 8($29)", "lw $17, 8($29)");
        has("lw $16, 8($29)", "lw $16, 16($29)");
        has("mtcrf 0x38, %r0", "mtcrf 64, %r0");
        has("jz LOCAL(resume)", "jnz LOCAL(resume)");
        assert_eq!(altered("ret"), Vec::<String>::new());
    }
}
