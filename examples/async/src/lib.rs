//! A line protocol that is written as synchronous code, with a recursive parser that reads as it goes, and runs under tokio.
//!
//! The parser calls itself for each `(`, and asks for the next byte from wherever it is. Nothing in it is `async`.

use greenlet::bridge;
use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// A connection as synchronous code sees it.
#[derive(Clone)]
pub struct Blocking {
    /// In the heap: what is awaited may not borrow from the frames of the code that awaits.
    stream: Rc<tokio::sync::Mutex<TcpStream>>,
    buffer: Rc<RefCell<VecDeque<u8>>>,
}

impl Blocking {
    pub fn new(stream: TcpStream) -> Blocking {
        Blocking { stream: Rc::new(tokio::sync::Mutex::new(stream)), buffer: Rc::default() }
    }

    /// The next byte; `None` at the end.
    fn byte(&self) -> Option<u8> {
        if self.buffer.borrow().is_empty() {
            let stream = self.stream.clone();
            let bytes = bridge::wait(async move {
                let mut bytes = vec![0; 64];
                let read = stream.lock().await.read(&mut bytes).await.unwrap_or(0);
                bytes.truncate(read);
                bytes
            });
            self.buffer.borrow_mut().extend(bytes);
        }
        self.buffer.borrow_mut().pop_front()
    }

    fn write(&self, text: String) {
        let stream = self.stream.clone();
        let _ = bridge::wait(async move { stream.lock().await.write_all(text.as_bytes()).await });
    }
}

/// The value of an expression such as `(+ 1 (* 2 3))`, of which the `(` has been read.
fn operation(from: &Blocking) -> Option<i64> {
    let operator = from.byte()?;
    let mut value = None;
    let mut number: Option<i64> = None;
    loop {
        let byte = from.byte()?;
        let operand = match byte {
            b'0'..=b'9' => {
                number = Some(number.unwrap_or(0) * 10 + i64::from(byte - b'0'));
                continue;
            }
            b'(' => Some(operation(from)?),
            _ => number.take(),
        };
        if let Some(operand) = operand {
            value = Some(match (operator, value) {
                (_, None) => operand,
                (b'+', Some(value)) => value + operand,
                (b'*', Some(value)) => value * operand,
                _ => return None,
            });
        }
        if byte == b')' {
            return value;
        }
    }
}

/// Answers each expression with a line.
pub fn serve(connection: &Blocking) {
    while let Some(byte) = connection.byte() {
        if byte == b'(' {
            let answer = operation(connection);
            connection.write(answer.map_or("?\n".into(), |value| format!("{value}\n")));
        }
    }
}
