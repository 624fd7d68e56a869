//! A JSON parser as anybody would write it: recursive descent over a reader that blocks, with a callback for each thing that it
//! comes across. It must know nothing of greenlets.

use std::fmt;
use std::io::{self, BufRead};

/// What the parser has come across.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    ObjectBegins,
    ObjectEnds,
    ArrayBegins,
    ArrayEnds,
    /// The name of an object's member.
    Key(String),
    String(String),
    Number(f64),
    Bool(bool),
    Null,
}

/// Why a text was refused, and at which byte.
#[derive(Debug)]
pub struct Error {
    what: String,
    at: u64,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at byte {}", self.what, self.at)
    }
}

/// How deep arrays and objects may be nested: the parser recurses once for each.
const DEEPEST: usize = 1000;

/// Parses one JSON text up to the end of `input`.
pub fn parse(input: impl BufRead, callback: &mut dyn FnMut(Event)) -> Result<(), Error> {
    let mut parser = Parser { input, at: 0, callback };
    parser.value(0)?;
    match parser.after_space()? {
        None => Ok(()),
        Some(_) => Err(parser.error("something follows the text")),
    }
}

struct Parser<'a, R> {
    input: R,
    at: u64,
    callback: &'a mut dyn FnMut(Event),
}

impl<R: BufRead> Parser<'_, R> {
    fn value(&mut self, depth: usize) -> Result<(), Error> {
        match self.after_space()? {
            Some(b'{') => self.object(depth),
            Some(b'[') => self.array(depth),
            Some(b'"') => {
                let text = self.string()?;
                self.tell(Event::String(text))
            }
            Some(b'-' | b'0'..=b'9') => self.number(),
            Some(b't') => self.word("true", Event::Bool(true)),
            Some(b'f') => self.word("false", Event::Bool(false)),
            Some(b'n') => self.word("null", Event::Null),
            _ => Err(self.unexpected("a value")?),
        }
    }

    fn object(&mut self, depth: usize) -> Result<(), Error> {
        self.nest(depth, Event::ObjectBegins)?;
        if self.after_space()? != Some(b'}') {
            loop {
                if self.after_space()? != Some(b'"') {
                    return Err(self.unexpected("a name")?);
                }
                let name = self.string()?;
                self.tell(Event::Key(name))?;
                if self.after_space()? != Some(b':') {
                    return Err(self.unexpected("a colon")?);
                }
                self.skip(1);
                self.value(depth + 1)?;
                if !self.another(b'}', "a comma or the end of the object")? {
                    break;
                }
            }
        }
        self.skip(1);
        self.tell(Event::ObjectEnds)
    }

    fn array(&mut self, depth: usize) -> Result<(), Error> {
        self.nest(depth, Event::ArrayBegins)?;
        if self.after_space()? != Some(b']') {
            loop {
                self.value(depth + 1)?;
                if !self.another(b']', "a comma or the end of the array")? {
                    break;
                }
            }
        }
        self.skip(1);
        self.tell(Event::ArrayEnds)
    }

    fn nest(&mut self, depth: usize, event: Event) -> Result<(), Error> {
        if depth == DEEPEST {
            return Err(self.error("too deeply nested"));
        }
        self.skip(1);
        self.tell(event)
    }

    /// Whether a comma comes, which is passed over, and not `end`.
    fn another(&mut self, end: u8, expected: &str) -> Result<bool, Error> {
        match self.after_space()? {
            Some(b',') => {
                self.skip(1);
                Ok(true)
            }
            Some(byte) if byte == end => Ok(false),
            _ => Err(self.unexpected(expected)?),
        }
    }

    fn string(&mut self) -> Result<String, Error> {
        self.skip(1);
        let mut bytes = Vec::new();
        loop {
            // As many at a time as the reader has.
            let have = self.have()?;
            let plain =
                have.iter().take_while(|byte| !matches!(byte, b'"' | b'\\' | 0..32)).count();
            let next = have.get(plain).copied();
            bytes.extend_from_slice(&have[..plain]);
            let ended = have.is_empty();
            self.skip(plain);
            match next {
                Some(b'"') => break,
                Some(b'\\') => self.escape(&mut bytes)?,
                Some(_) => return Err(self.unexpected("a printable character")?),
                None if ended => return Err(self.unexpected("the end of a string")?),
                None => {}
            }
        }
        self.skip(1);
        String::from_utf8(bytes).map_err(|_| self.error("a string that is not UTF-8"))
    }

    fn escape(&mut self, bytes: &mut Vec<u8>) -> Result<(), Error> {
        self.skip(1);
        let Some(letter) = self.peek()? else { return Err(self.unexpected("an escape")?) };
        let character = match letter {
            b'"' | b'\\' | b'/' => letter as char,
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => {
                self.skip(1);
                let character = self.utf16()?;
                bytes.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
                return Ok(());
            }
            _ => return Err(self.unexpected("an escape")?),
        };
        self.skip(1);
        bytes.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
        Ok(())
    }

    /// One character of one or two `\u….`, the first of which has been passed over up to its digits.
    fn utf16(&mut self) -> Result<char, Error> {
        let first = self.four_digits()?;
        let mut units = vec![first];
        if (0xd800..0xdc00).contains(&first) {
            for expected in [b'\\', b'u'] {
                if self.peek()? != Some(expected) {
                    return Err(self.unexpected("the other half of a surrogate pair")?);
                }
                self.skip(1);
            }
            units.push(self.four_digits()?);
        }
        let mut decoded = char::decode_utf16(units);
        match (decoded.next(), decoded.next()) {
            (Some(Ok(character)), None) => Ok(character),
            _ => Err(self.error("half of a surrogate pair")),
        }
    }

    fn four_digits(&mut self) -> Result<u16, Error> {
        let mut unit = 0;
        for _ in 0..4 {
            let digit = self.peek()?.and_then(|byte| (byte as char).to_digit(16));
            let Some(digit) = digit else { return Err(self.unexpected("a hexadecimal digit")?) };
            unit = unit * 16 + digit as u16;
            self.skip(1);
        }
        Ok(unit)
    }

    fn number(&mut self) -> Result<(), Error> {
        let mut text = String::new();
        if self.peek()? == Some(b'-') {
            self.one(&mut text);
        }
        match self.peek()? {
            Some(b'0') => self.one(&mut text),
            _ => self.digits(&mut text)?,
        }
        if self.peek()? == Some(b'.') {
            self.one(&mut text);
            self.digits(&mut text)?;
        }
        if let Some(b'e' | b'E') = self.peek()? {
            self.one(&mut text);
            if let Some(b'+' | b'-') = self.peek()? {
                self.one(&mut text);
            }
            self.digits(&mut text)?;
        }
        match text.parse() {
            Ok(number) => self.tell(Event::Number(number)),
            Err(_) => Err(self.error("not a number")),
        }
    }

    /// At least one digit.
    fn digits(&mut self, text: &mut String) -> Result<(), Error> {
        let before = text.len();
        while let Some(b'0'..=b'9') = self.peek()? {
            self.one(text);
        }
        if text.len() == before { Err(self.unexpected("a digit")?) } else { Ok(()) }
    }

    /// The ASCII character that was just seen.
    fn one(&mut self, text: &mut String) {
        if let Ok(Some(byte)) = self.peek() {
            text.push(byte as char);
            self.skip(1);
        }
    }

    fn word(&mut self, word: &str, event: Event) -> Result<(), Error> {
        for byte in word.bytes() {
            if self.peek()? != Some(byte) {
                return Err(self.unexpected(word)?);
            }
            self.skip(1);
        }
        self.tell(event)
    }

    fn tell(&mut self, event: Event) -> Result<(), Error> {
        (self.callback)(event);
        Ok(())
    }

    fn after_space(&mut self) -> Result<Option<u8>, Error> {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.peek()? {
            self.skip(1);
        }
        self.peek()
    }

    fn peek(&mut self) -> Result<Option<u8>, Error> {
        Ok(self.have()?.first().copied())
    }

    /// What the reader has; nothing at the end. This is where it blocks.
    fn have(&mut self) -> Result<&[u8], Error> {
        let at = self.at;
        let error = |why: io::Error| Error { what: why.to_string(), at };
        self.input.fill_buf().map_err(error)
    }

    fn skip(&mut self, bytes: usize) {
        self.input.consume(bytes);
        self.at += bytes as u64;
    }

    fn unexpected(&mut self, expected: &str) -> Result<Error, Error> {
        let found = match self.peek()? {
            None => "the end".into(),
            Some(byte) => format!("{:?}", byte as char),
        };
        Ok(self.error(&format!("expected {expected}, found {found}")))
    }

    fn error(&self, what: &str) -> Error {
        Error { what: what.into(), at: self.at }
    }
}
