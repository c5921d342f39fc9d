//! Reads the command line: words, and options that each take a value.

use std::collections::BTreeMap;
use std::collections::VecDeque;
use std::str::FromStr;

pub struct Arguments {
    words: VecDeque<String>,
    options: BTreeMap<String, String>,
}

impl Arguments {
    pub fn of_the_process() -> Self {
        Self::of(std::env::args().skip(1))
    }

    fn of(arguments: impl IntoIterator<Item = String>) -> Self {
        let (mut words, mut options) = (VecDeque::new(), BTreeMap::new());
        let mut rest = arguments.into_iter();
        while let Some(argument) = rest.next() {
            match argument.strip_prefix("--") {
                Some(name) => {
                    options.insert(name.to_owned(), rest.next().unwrap_or_default());
                }
                None => words.push_back(argument),
            }
        }
        Self { words, options }
    }

    pub fn next_word(&mut self) -> Option<String> {
        self.words.pop_front()
    }

    /// The next word, which must be there.
    pub fn word<T: FromStr>(&mut self, what: &str) -> Result<T, String> {
        let word = self.next_word().ok_or_else(|| format!("{what} is missing"))?;
        word.parse().map_err(|_| format!("{what}: {word} is not one"))
    }

    pub fn option(&mut self, name: &str) -> Option<String> {
        self.options.remove(name)
    }

    pub fn option_or<T: FromStr>(&mut self, name: &str, default: T) -> Result<T, String> {
        match self.option(name) {
            Some(text) => text.parse().map_err(|_| format!("--{name}: {text} is not a value of it")),
            None => Ok(default),
        }
    }

    /// Refuses what nobody asked for.
    pub fn end(self) -> Result<(), String> {
        match self.options.keys().next() {
            Some(name) => Err(format!("--{name} is no option here")),
            None => Ok(()),
        }
    }
}
