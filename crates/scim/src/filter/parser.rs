//! From words to the tree, without recursion.
//!
//! Every open parenthesis and bracket is a [`Frame`] on a stack of our own, so that no input reaches
//! the stack of the thread and the depth is a number that is checked.

use crate::{
    attr::AttrPath,
    error::ScimError,
    tolerance::{Reading, Tolerance},
};

use super::{
    CompareOp, CompareValue, Filter, MAX_BYTES, MAX_DEPTH, MAX_TERMS,
    lexer::{Lexer, Token},
};

/// What an open level is, and so what closes it.
enum Level {
    /// The whole text.
    Root,
    /// `(` or `not (`.
    Group { is_negated: bool },
    /// `path[`.
    Brackets(AttrPath),
}

/// An open level and what it holds so far: finished alternatives, and the conjunction being read.
struct Frame {
    level: Level,
    alternatives: Vec<Filter>,
    conjunction: Vec<Filter>,
}

impl Frame {
    fn new(level: Level) -> Self {
        Self { level, alternatives: Vec::new(), conjunction: Vec::new() }
    }

    /// Adds a part to the conjunction; one that is a conjunction itself is spread.
    fn push(&mut self, filter: Filter) {
        match filter {
            Filter::And(parts) => self.conjunction.extend(parts),
            Filter::Compare { .. }
            | Filter::Present(_)
            | Filter::Or(_)
            | Filter::Not(_)
            | Filter::Value { .. } => self.conjunction.push(filter),
        }
    }

    /// `or`: the conjunction is one alternative.
    fn end_alternative(&mut self) {
        let Some(filter) = one_or(std::mem::take(&mut self.conjunction), Filter::And) else { return };
        match filter {
            Filter::Or(parts) => self.alternatives.extend(parts),
            Filter::Compare { .. }
            | Filter::Present(_)
            | Filter::And(_)
            | Filter::Not(_)
            | Filter::Value { .. } => self.alternatives.push(filter),
        }
    }

    /// The level is closed: its content as one filter.
    fn finish(mut self) -> Option<(Level, Filter)> {
        self.end_alternative();
        Some((self.level, one_or(self.alternatives, Filter::Or)?))
    }
}

fn one_or(mut parts: Vec<Filter>, join: fn(Vec<Filter>) -> Filter) -> Option<Filter> {
    if parts.len() > 1 { Some(join(parts)) } else { parts.pop() }
}

struct Parser<'a, 'r> {
    lexer: Lexer<'a>,
    reading: &'r mut Reading,
    frames: Vec<Frame>,
    terms: usize,
    allows_brackets: bool,
}

/// Reads a filter; `allows_brackets` is false inside the brackets of a value path.
pub(super) fn parse(text: &str, allows_brackets: bool, reading: &mut Reading) -> Result<Filter, ScimError> {
    if text.len() > MAX_BYTES {
        return Err(ScimError::invalid_filter(format!("filter: longer than {MAX_BYTES} bytes")));
    }
    let frames = vec![Frame::new(Level::Root)];
    let mut parser = Parser { lexer: Lexer::new(text), reading, frames, terms: 0, allows_brackets };
    let mut wants_operand = true;
    loop {
        let position = parser.lexer.position();
        let Some(token) = parser.lexer.next()? else { break };
        wants_operand = if wants_operand {
            parser.operand(&token, position)?
        } else {
            parser.connector(&token, position)?
        };
    }
    if wants_operand {
        return Err(ScimError::invalid_filter("filter: ends where a comparison is expected"));
    }
    let frame = parser.frames.pop().filter(|_| parser.frames.is_empty());
    let content = frame.and_then(Frame::finish);
    content
        .map(|(_, filter)| filter)
        .ok_or_else(|| ScimError::invalid_filter("filter: a parenthesis or bracket is not closed"))
}

impl<'a> Parser<'a, '_> {
    /// Takes the first token of a part; answers whether another part is expected next.
    fn operand(&mut self, token: &Token<'a>, position: usize) -> Result<bool, ScimError> {
        match token {
            Token::Open => self.open(Level::Group { is_negated: false }),
            Token::Word(word) if word.eq_ignore_ascii_case("not") && self.lexer.at_open() => {
                self.lexer.next()?;
                self.open(Level::Group { is_negated: true })
            }
            Token::Word(word) => {
                let path = AttrPath::parse(word).ok_or_else(|| {
                    ScimError::invalid_filter(format!(
                        "filter: '{word}' at byte {position} is not an attribute"
                    ))
                })?;
                self.after_path(path)
            }
            Token::Close | Token::OpenBracket | Token::CloseBracket | Token::String(_) => {
                Err(unexpected(token, position, "an attribute, 'not (' or '('"))
            }
        }
    }

    fn after_path(&mut self, path: AttrPath) -> Result<bool, ScimError> {
        let position = self.lexer.position();
        match self.lexer.next()? {
            Some(Token::OpenBracket) => {
                if !self.allows_brackets
                    || self.frames.iter().any(|frame| matches!(frame.level, Level::Brackets(_)))
                {
                    return Err(ScimError::invalid_filter(format!(
                        "filter: brackets inside brackets at byte {position}"
                    )));
                }
                if path.sub.is_some() {
                    return Err(ScimError::invalid_filter(format!("filter: '{path}' cannot have brackets")));
                }
                self.open(Level::Brackets(path))
            }
            Some(Token::Word(word)) => {
                let term = self.term(path, word, position)?;
                self.push(term);
                Ok(false)
            }
            Some(token @ (Token::Open | Token::Close | Token::CloseBracket | Token::String(_))) => {
                Err(unexpected(&token, position, "an operator"))
            }
            None => Err(ScimError::invalid_filter(format!("filter: '{path}' has no operator"))),
        }
    }

    /// Reads the rest of a comparison after its operator.
    fn term(&mut self, path: AttrPath, word: &str, position: usize) -> Result<Filter, ScimError> {
        self.terms += 1;
        if self.terms > MAX_TERMS {
            return Err(ScimError::invalid_filter(format!("filter: more than {MAX_TERMS} comparisons")));
        }
        if word.eq_ignore_ascii_case("pr") {
            return Ok(Filter::Present(path));
        }
        let op = CompareOp::from_word(word).ok_or_else(|| {
            // RFC 7644 3.4.2.2: an unknown operator is refused, never ignored.
            ScimError::invalid_filter(format!("filter: unknown operator '{word}' at byte {position}"))
        })?;
        let position = self.lexer.position();
        let value = match self.lexer.next()? {
            Some(Token::String(text)) => CompareValue::String(text),
            Some(Token::Word(word)) => literal(word, position, self.reading)?,
            Some(token @ (Token::Open | Token::Close | Token::OpenBracket | Token::CloseBracket)) => {
                return Err(unexpected(&token, position, "a value"));
            }
            None => return Err(ScimError::invalid_filter(format!("filter: '{path} {op}' has no value"))),
        };
        Ok(Filter::Compare { path, op, value })
    }

    /// Takes the token after a part; answers whether another part is expected next.
    fn connector(&mut self, token: &Token<'a>, position: usize) -> Result<bool, ScimError> {
        match token {
            Token::Word(word) if word.eq_ignore_ascii_case("and") => Ok(true),
            Token::Word(word) if word.eq_ignore_ascii_case("or") => {
                if let Some(frame) = self.frames.last_mut() {
                    frame.end_alternative();
                }
                Ok(true)
            }
            Token::Close | Token::CloseBracket => {
                self.close(token, position)?;
                Ok(false)
            }
            Token::Word(_) | Token::String(_) | Token::Open | Token::OpenBracket => {
                Err(unexpected(token, position, "'and', 'or' or the end"))
            }
        }
    }

    fn open(&mut self, level: Level) -> Result<bool, ScimError> {
        // The first frame is the text itself.
        if self.frames.len() > MAX_DEPTH {
            return Err(ScimError::invalid_filter(format!("filter: nested deeper than {MAX_DEPTH} levels")));
        }
        self.frames.push(Frame::new(level));
        Ok(true)
    }

    fn close(&mut self, token: &Token<'a>, position: usize) -> Result<(), ScimError> {
        let fits = match self.frames.last().map(|frame| &frame.level) {
            Some(Level::Group { .. }) => *token == Token::Close,
            Some(Level::Brackets(_)) => *token == Token::CloseBracket,
            Some(Level::Root) | None => false,
        };
        let content = if fits { self.frames.pop().and_then(Frame::finish) } else { None };
        let filter = match content {
            Some((Level::Group { is_negated: true }, filter)) => Filter::Not(Box::new(filter)),
            Some((Level::Brackets(path), filter)) => self.after_brackets(path, filter)?,
            Some((Level::Group { is_negated: false } | Level::Root, filter)) => filter,
            None => return Err(unexpected(token, position, "'and', 'or' or the end")),
        };
        self.push(filter);
        Ok(())
    }

    /// `path[filter]`, or Entra's `path[filter].sub op value`.
    fn after_brackets(&mut self, path: AttrPath, filter: Filter) -> Result<Filter, ScimError> {
        if !self.lexer.at_dot() {
            return Ok(Filter::Value { path, filter: Box::new(filter) });
        }
        self.reading.note(Tolerance::ValuePathComparison, "filter")?;
        let position = self.lexer.position();
        let word = match self.lexer.next()? {
            Some(Token::Word(word)) => word.trim_start_matches('.'),
            Some(_) | None => "",
        };
        let sub = AttrPath::parse(word).filter(|sub| sub.sub.is_none() && sub.schema.is_none()).ok_or_else(
            || {
                ScimError::invalid_filter(format!(
                    "filter: no sub-attribute after the bracket at byte {position}"
                ))
            },
        )?;
        let position = self.lexer.position();
        let Some(Token::Word(word)) = self.lexer.next()? else {
            return Err(ScimError::invalid_filter(format!(
                "filter: '.{sub}' at byte {position} has no operator"
            )));
        };
        let term = self.term(sub, word, position)?;
        let mut frame = Frame::new(Level::Root);
        frame.push(filter);
        frame.push(term);
        let filter = frame.finish().map(|(_, filter)| filter);
        filter
            .map(|filter| Filter::Value { path, filter: Box::new(filter) })
            .ok_or_else(|| ScimError::invalid_filter("filter: empty brackets"))
    }

    fn push(&mut self, filter: Filter) {
        if let Some(frame) = self.frames.last_mut() {
            frame.push(filter);
        }
    }
}

/// A value without quotes: Entra's reference code leaves them out around words and instants.
fn literal(word: &str, position: usize, reading: &mut Reading) -> Result<CompareValue, ScimError> {
    // The literals of JSON are written small (RFC 8259 3).
    if word.eq_ignore_ascii_case("null") {
        if word != "null" {
            reading.note(Tolerance::UnquotedFilterValue, "filter")?;
        }
        return Ok(CompareValue::Null);
    }
    if let Some(value) = crate::coerce::boolean(word) {
        if !matches!(word, "true" | "false") {
            reading.note(Tolerance::UnquotedFilterValue, "filter")?;
        }
        return Ok(CompareValue::Boolean(value));
    }
    if let Ok(number) = serde_json::from_str(word) {
        return Ok(CompareValue::Number(number));
    }
    if ["and", "or", "not"].iter().any(|keyword| word.eq_ignore_ascii_case(keyword)) || word.contains('\0') {
        return Err(ScimError::invalid_filter(format!("filter: '{word}' at byte {position} is not a value")));
    }
    reading.note(Tolerance::UnquotedFilterValue, "filter")?;
    Ok(CompareValue::String(word.to_owned()))
}

fn unexpected(token: &Token<'_>, position: usize, expected: &str) -> ScimError {
    let found = match token {
        Token::Open => "(",
        Token::Close => ")",
        Token::OpenBracket => "[",
        Token::CloseBracket => "]",
        Token::String(_) => "a string",
        Token::Word(word) => word,
    };
    ScimError::invalid_filter(format!("filter: expected {expected} at byte {position}, found '{found}'"))
}
