//! The words of a filter, one at a time.
//!
//! Which word is a name, an operator or a value depends on where it stands; the parser knows, the lexer
//! does not. A new kind of token is one more variant of [`Token`].

use crate::error::ScimError;

/// A piece of a filter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Token<'a> {
    /// `(`
    Open,
    /// `)`
    Close,
    /// `[`
    OpenBracket,
    /// `]`
    CloseBracket,
    /// A JSON string, decoded.
    String(String),
    /// Anything else up to the next space, quote, bracket or parenthesis.
    Word(&'a str),
}

/// Walks over the text.
pub(super) struct Lexer<'a> {
    text: &'a str,
    /// Where the rest begins, in bytes.
    at: usize,
}

impl<'a> Lexer<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self { text, at: 0 }
    }

    /// Where the next token is looked for, in bytes.
    pub(super) fn position(&self) -> usize {
        self.at
    }

    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    /// The next token; none at the end.
    ///
    /// # Errors
    /// `invalidFilter` for a string that is not one of JSON.
    pub(super) fn next(&mut self) -> Result<Option<Token<'a>>, ScimError> {
        let trimmed = self.rest().trim_start_matches(|c: char| c.is_ascii_whitespace());
        self.at = self.text.len() - trimmed.len();
        let Some(first) = trimmed.chars().next() else { return Ok(None) };
        let (token, length) = match first {
            '(' => (Token::Open, 1),
            ')' => (Token::Close, 1),
            '[' => (Token::OpenBracket, 1),
            ']' => (Token::CloseBracket, 1),
            '"' => {
                let (string, length) = self.string(trimmed)?;
                (Token::String(string), length)
            }
            _ => {
                let end = trimmed
                    .find(|c: char| c.is_ascii_whitespace() || matches!(c, '(' | ')' | '[' | ']' | '"'))
                    .unwrap_or(trimmed.len());
                (Token::Word(trimmed.get(..end).unwrap_or_default()), end)
            }
        };
        self.at += length;
        Ok(Some(token))
    }

    /// Whether the next token opens a parenthesis.
    pub(super) fn at_open(&self) -> bool {
        self.rest().trim_start_matches(|c: char| c.is_ascii_whitespace()).starts_with('(')
    }

    /// Whether a dot follows at once, as it does between `]` and a sub-attribute.
    pub(super) fn at_dot(&self) -> bool {
        self.rest().starts_with('.')
    }

    /// Reads the string that `text` begins with: its content and its length with the quotes.
    fn string(&self, text: &str) -> Result<(String, usize), ScimError> {
        let unfinished =
            || ScimError::invalid_filter(format!("filter: the string at byte {} is not closed", self.at));
        let mut is_escaped = false;
        let end = text
            .bytes()
            .enumerate()
            .skip(1)
            .find(|&(_, byte)| {
                let closes = byte == b'"' && !is_escaped;
                is_escaped = byte == b'\\' && !is_escaped;
                closes
            })
            .map(|(index, _)| index + 1)
            .ok_or_else(unfinished)?;
        let literal = text.get(..end).ok_or_else(unfinished)?;
        let string: String = serde_json::from_str(literal).map_err(|_| {
            ScimError::invalid_filter(format!("filter: the string at byte {} is not a JSON string", self.at))
        })?;
        if string.contains('\0') {
            return Err(ScimError::invalid_filter("filter: a string may not hold the character U+0000"));
        }
        Ok((string, end))
    }
}
