//! The command line: flags, options with a value, and plain words. Anything unknown is refused.

/// What stood behind the command's name.
pub struct Args {
    flags: Vec<String>,
    options: Vec<(String, String)>,
    /// The plain words, in order.
    pub words: Vec<String>,
}

impl Args {
    /// Sorts `rest` into the given flags, options and words.
    pub fn parse(rest: Vec<String>, flags: &[&str], options: &[&str]) -> Result<Args, String> {
        let mut args = Args { flags: Vec::new(), options: Vec::new(), words: Vec::new() };
        let mut rest = rest.into_iter();
        while let Some(word) = rest.next() {
            if flags.contains(&word.as_str()) {
                args.flags.push(word);
            } else if options.contains(&word.as_str()) {
                let value = rest.next().ok_or(format!("{word} needs a value"))?;
                args.options.push((word, value));
            } else if word.starts_with('-') {
                return Err(format!("unknown option {word}"));
            } else {
                args.words.push(word);
            }
        }
        Ok(args)
    }

    /// Was this flag given?
    pub fn flag(&self, name: &str) -> bool {
        self.flags.iter().any(|flag| flag == name)
    }

    /// The value of an option, the last one if it was given twice.
    pub fn option(&self, name: &str) -> Option<&str> {
        self.options
            .iter()
            .rev()
            .find(|(option, _)| option == name)
            .map(|(_, value)| value.as_str())
    }

    /// Refuses plain words, for commands that take none.
    pub fn no_words(&self) -> Result<(), String> {
        match self.words.first() {
            Some(word) => Err(format!("unexpected `{word}`")),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(words: &[&str]) -> Result<Args, String> {
        Args::parse(words.iter().map(|w| w.to_string()).collect(), &["--install"], &["--only"])
    }

    #[test]
    fn flags_options_and_words_are_told_apart() {
        let args = parse(&["one", "--only", "x", "--install", "two"]).unwrap();
        assert!(args.flag("--install"));
        assert_eq!(args.option("--only"), Some("x"));
        assert_eq!(args.words, ["one", "two"]);
    }

    #[test]
    fn what_is_unknown_is_refused() {
        assert!(parse(&["--instal"]).is_err());
        assert!(parse(&["--only"]).is_err());
    }
}
