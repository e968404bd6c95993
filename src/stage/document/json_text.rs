//! A cursor over the JSON text of one line (RFC 8259), for readers that need what a general parser hides: numbers as
//! they are spelled, duplicate names, the raw text of a nested value, and the byte where something is wrong.
//!
//! Nothing here recurses, so no input can exhaust the stack; values nested deeper than [`DEPTH_MAX`] are refused.
//! A property test holds its verdicts and its strings against `serde_json`'s.

use std::borrow::Cow;

/// How deep a value may be nested.
pub(crate) const DEPTH_MAX: usize = 1_000;

/// What is wrong, and at which byte of the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SyntaxFault {
    /// 0-based byte offset.
    pub(crate) at: usize,
    /// What is wrong there, in words.
    pub(crate) what: &'static str,
}

type Result<T> = std::result::Result<T, SyntaxFault>;

/// A string as it stands between its quotes, checked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Text<'a> {
    /// The characters between the quotes, escapes included.
    pub(crate) raw: &'a str,
    /// Whether there are escapes to undo.
    pub(crate) escaped: bool,
}

impl<'a> Text<'a> {
    /// Appends the string's value.
    pub(crate) fn push_to(&self, out: &mut Vec<u8>) {
        if self.escaped {
            unescape(self.raw, out);
        } else {
            out.extend_from_slice(self.raw.as_bytes());
        }
    }

    /// The string's value; owned only where escapes had to be undone.
    pub(crate) fn value(&self) -> Cow<'a, str> {
        if !self.escaped {
            return Cow::Borrowed(self.raw);
        }
        let mut out = Vec::with_capacity(self.raw.len());
        unescape(self.raw, &mut out);
        Cow::Owned(String::from_utf8(out).expect("undoing checked escapes of valid text gives valid text"))
    }
}

/// Reads one text from left to right.
#[derive(Clone, Debug)]
pub(crate) struct Cursor<'a> {
    text: &'a str,
    at: usize,
    spaced: bool,
}

impl<'a> Cursor<'a> {
    /// A cursor at the text's first byte.
    pub(crate) fn new(text: &'a str) -> Self {
        Self { text, at: 0, spaced: false }
    }

    /// The byte at which the cursor stands.
    pub(crate) fn at(&self) -> usize {
        self.at
    }

    /// The text from `start` up to the cursor.
    pub(crate) fn since(&self, start: usize) -> &'a str {
        &self.text[start..self.at]
    }

    /// Whether white space was skipped since the last call.
    pub(crate) fn take_spaced(&mut self) -> bool {
        std::mem::take(&mut self.spaced)
    }

    /// A fault at the cursor.
    pub(crate) fn fault<T>(&self, what: &'static str) -> Result<T> {
        Err(SyntaxFault { at: self.at, what })
    }

    /// The next byte that is no white space.
    #[inline]
    pub(crate) fn peek(&mut self) -> Option<u8> {
        let byte = *self.text.as_bytes().get(self.at)?;
        if byte > b' ' {
            return Some(byte);
        }
        self.skip_space();
        self.text.as_bytes().get(self.at).copied()
    }

    fn skip_space(&mut self) {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.text.as_bytes().get(self.at) {
            self.at += 1;
            self.spaced = true;
        }
    }

    /// Passes `byte` where it is next.
    #[inline]
    pub(crate) fn accept(&mut self, byte: u8) -> bool {
        let is_next = self.peek() == Some(byte);
        self.at += usize::from(is_next);
        is_next
    }

    /// Passes `byte`.
    ///
    /// # Errors
    /// Anything else is next.
    #[inline]
    pub(crate) fn expect(&mut self, byte: u8, what: &'static str) -> Result<()> {
        if self.accept(byte) { Ok(()) } else { self.fault(what) }
    }

    /// Passes the end of the text.
    ///
    /// # Errors
    /// Something other than white space follows.
    pub(crate) fn end(&mut self) -> Result<()> {
        match self.peek() {
            None => Ok(()),
            Some(_) => self.fault("something follows the value"),
        }
    }

    /// Reads a string.
    ///
    /// # Errors
    /// No string, one never closed, a control character in it, an escape that is none, half a surrogate pair.
    #[inline]
    pub(crate) fn string(&mut self) -> Result<Text<'a>> {
        self.expect(b'"', "expected a string")?;
        let bytes = self.text.as_bytes();
        let start = self.at;
        let mut escaped = false;
        loop {
            self.at = special(bytes, self.at);
            match bytes.get(self.at) {
                Some(b'"') => {
                    let raw = &self.text[start..self.at];
                    self.at += 1;
                    return Ok(Text { raw, escaped });
                }
                Some(b'\\') => {
                    escaped = true;
                    self.escape()?;
                }
                Some(_) => return self.fault("a control character must be escaped"),
                None => return self.fault("a string is never closed"),
            }
        }
    }

    /// Reads a member's name and the colon after it.
    ///
    /// # Errors
    /// See [`Cursor::string`]; no colon.
    #[inline]
    pub(crate) fn name(&mut self) -> Result<Text<'a>> {
        let name = self.string()?;
        self.expect(b':', "expected `:`")?;
        Ok(name)
    }

    /// Passes `"x":` where `x` is one of these characters, and returns it. A shortcut past [`Cursor::name`].
    #[inline]
    pub(crate) fn short_name(&mut self, one_of: &[u8]) -> Option<u8> {
        match self.text.as_bytes().get(self.at..self.at + 4) {
            Some(&[b'"', name, b'"', b':']) if one_of.contains(&name) => {
                self.at += 4;
                Some(name)
            }
            _ => None,
        }
    }

    fn escape(&mut self) -> Result<()> {
        match self.text.as_bytes().get(self.at + 1) {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => self.at += 2,
            Some(b'u') => {
                let Some(unit) = hex4(self.text.as_bytes(), self.at + 2) else {
                    return self.fault("`\\u` needs four hex digits");
                };
                if (0xdc00..0xe000).contains(&unit) {
                    return self.fault("half a surrogate pair is no character");
                }
                if (0xd800..0xdc00).contains(&unit)
                    && low_surrogate(self.text.as_bytes(), self.at + 6).is_none()
                {
                    return self.fault("half a surrogate pair is no character");
                }
                self.at += if (0xd800..0xdc00).contains(&unit) { 12 } else { 6 };
            }
            _ => return self.fault("no such escape"),
        }
        Ok(())
    }

    /// Reads a number and returns it as it is spelled.
    ///
    /// # Errors
    /// Not a number of JSON's grammar.
    pub(crate) fn number(&mut self) -> Result<&'a str> {
        self.peek();
        let start = self.at;
        self.at += usize::from(self.byte() == Some(b'-'));
        match self.byte() {
            Some(b'0') => self.at += 1,
            Some(b'1'..=b'9') => self.digits(),
            _ => return self.fault("expected a value"),
        }
        if self.byte() == Some(b'.') {
            self.at += 1;
            self.some_digits()?;
        }
        if let Some(b'e' | b'E') = self.byte() {
            self.at += 1;
            self.at += usize::from(matches!(self.byte(), Some(b'+' | b'-')));
            self.some_digits()?;
        }
        if self.byte().is_some_and(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'+' | b'-' | b'_')) {
            return self.fault("no number");
        }
        Ok(self.since(start))
    }

    fn byte(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn digits(&mut self) {
        while self.byte().is_some_and(|b| b.is_ascii_digit()) {
            self.at += 1;
        }
    }

    fn some_digits(&mut self) -> Result<()> {
        if !self.byte().is_some_and(|b| b.is_ascii_digit()) {
            return self.fault("expected a digit");
        }
        self.digits();
        Ok(())
    }

    /// Reads `true` or `false`.
    ///
    /// # Errors
    /// Anything else.
    pub(crate) fn boolean(&mut self) -> Result<bool> {
        match self.peek() {
            Some(b't') => self.word("true").map(|()| true),
            Some(b'f') => self.word("false").map(|()| false),
            _ => self.fault("expected `true` or `false`"),
        }
    }

    /// Reads `null`.
    ///
    /// # Errors
    /// Anything else.
    pub(crate) fn null(&mut self) -> Result<()> {
        self.peek();
        self.word("null")
    }

    fn word(&mut self, word: &'static str) -> Result<()> {
        let end = self.at + word.len();
        let follows = self.text.as_bytes().get(end).is_some_and(u8::is_ascii_alphanumeric);
        if self.text.as_bytes().get(self.at..end) != Some(word.as_bytes()) || follows {
            return self.fault("expected a value");
        }
        self.at = end;
        Ok(())
    }

    /// Reads any value, checks it whole, and returns its text.
    ///
    /// # Errors
    /// Text that is no JSON, or nested too deep.
    pub(crate) fn any(&mut self) -> Result<&'a str> {
        self.peek();
        let start = self.at;
        let mut nesting = Nesting::default();
        let mut first = true;
        loop {
            if let Some(container) = nesting.top() {
                if self.accept(container.close()) {
                    first = false;
                    nesting.pop();
                    if nesting.top().is_none() {
                        break;
                    }
                    continue;
                }
                self.separator(first)?;
                if container == Container::Map {
                    self.name()?;
                }
            }
            first = match self.peek() {
                Some(b'{') => self.open(&mut nesting, Container::Map)?,
                Some(b'[') => self.open(&mut nesting, Container::List)?,
                _ => self.scalar()?,
            };
            if nesting.top().is_none() {
                break;
            }
        }
        Ok(self.since(start))
    }

    /// Passes the comma before every element but the first.
    ///
    /// # Errors
    /// No comma where one must be.
    pub(crate) fn separator(&mut self, first: bool) -> Result<()> {
        if first { Ok(()) } else { self.expect(b',', "expected `,` or the end of the object or array") }
    }

    /// Passes an opening bracket. Returns true: what comes next is a first element.
    ///
    /// # Errors
    /// Another byte is next, or this would be nested too deep.
    pub(crate) fn open(&mut self, nesting: &mut Nesting, container: Container) -> Result<bool> {
        self.expect(container.open(), container.expected())?;
        if nesting.push(container) { Ok(true) } else { self.fault("nested more than 1,000 deep") }
    }

    fn scalar(&mut self) -> Result<bool> {
        match self.peek() {
            Some(b'"') => self.string().map(|_| false),
            Some(b't' | b'f') => self.boolean().map(|_| false),
            Some(b'n') => self.null().map(|()| false),
            _ => self.number().map(|_| false),
        }
    }
}

/// An object or an array.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Container {
    /// `{…}`.
    Map,
    /// `[…]`.
    List,
}

impl Container {
    /// Its opening bracket.
    pub(crate) fn open(self) -> u8 {
        if self == Self::Map { b'{' } else { b'[' }
    }

    /// Its closing bracket.
    pub(crate) fn close(self) -> u8 {
        if self == Self::Map { b'}' } else { b']' }
    }

    fn expected(self) -> &'static str {
        if self == Self::Map { "expected `{`" } else { "expected `[`" }
    }
}

/// The containers that are open, innermost last: one bit each, so that no input allocates.
#[derive(Clone, Debug)]
pub(crate) struct Nesting {
    depth: usize,
    is_map: [u64; DEPTH_MAX.div_ceil(64)],
}

impl Default for Nesting {
    fn default() -> Self {
        Self { depth: 0, is_map: [0; DEPTH_MAX.div_ceil(64)] }
    }
}

impl Nesting {
    /// The innermost open container.
    #[inline]
    pub(crate) fn top(&self) -> Option<Container> {
        let index = self.depth.checked_sub(1)?;
        Some(if self.is_map[index / 64] >> (index % 64) & 1 == 1 { Container::Map } else { Container::List })
    }

    /// Opens a container; false where that is too deep.
    pub(crate) fn push(&mut self, container: Container) -> bool {
        if self.depth == DEPTH_MAX {
            return false;
        }
        let (word, bit) = (self.depth / 64, 1 << (self.depth % 64));
        match container {
            Container::Map => self.is_map[word] |= bit,
            Container::List => self.is_map[word] &= !bit,
        }
        self.depth += 1;
        true
    }

    /// Closes the innermost container.
    pub(crate) fn pop(&mut self) {
        self.depth = self.depth.saturating_sub(1);
    }
}

/// The first byte from `at` on that ends a plain run inside a string: a quote, a backslash or a control character.
/// Eight bytes at a time, since values are mostly a few dozen bytes long and most of the input is strings.
#[inline]
fn special(bytes: &[u8], mut at: usize) -> usize {
    const LOW: u64 = 0x0101_0101_0101_0101;
    const HIGH: u64 = 0x8080_8080_8080_8080;
    // A byte of `word` is zero where the high bit of the result's lowest set byte says so; higher bytes may be set by
    // the borrow, which is why only the lowest one is used.
    let zero = |word: u64| word.wrapping_sub(LOW) & !word & HIGH;
    while let Some(chunk) = bytes.get(at..at + 8) {
        let word = u64::from_le_bytes(chunk.try_into().expect("eight bytes"));
        let control = word.wrapping_sub(LOW * 0x20) & !word & HIGH;
        let found = zero(word ^ (LOW * u64::from(b'"'))) | zero(word ^ (LOW * u64::from(b'\\'))) | control;
        if found != 0 {
            return at + found.trailing_zeros() as usize / 8;
        }
        at += 8;
    }
    bytes[at..].iter().position(|b| matches!(b, b'"' | b'\\' | 0..0x20)).map_or(bytes.len(), |n| at + n)
}

fn hex4(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..at + 4)?.iter().try_fold(0, |value, b| Some(value * 16 + char::from(*b).to_digit(16)?))
}

fn low_surrogate(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.strip_prefix(b"\\u")?;
    hex4(bytes, at + 2).filter(|unit| (0xdc00..0xe000).contains(unit))
}

/// Undoes the escapes of a checked string.
fn unescape(raw: &str, out: &mut Vec<u8>) {
    let bytes = raw.as_bytes();
    let mut at = 0;
    while let Some(step) = memchr::memchr(b'\\', &bytes[at..]) {
        out.extend_from_slice(&bytes[at..at + step]);
        at += step;
        let plain = match bytes[at + 1] {
            b'b' => 8,
            b'f' => 12,
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'u' => {
                at += unescape_unicode(bytes, at, out);
                continue;
            }
            itself => itself,
        };
        out.push(plain);
        at += 2;
    }
    out.extend_from_slice(&bytes[at..]);
}

/// Undoes the `\u` escape at `at` and returns how many bytes it takes.
fn unescape_unicode(bytes: &[u8], at: usize, out: &mut Vec<u8>) -> usize {
    let unit = hex4(bytes, at + 2).expect("the escape was checked");
    let (code, width) = match low_surrogate(bytes, at + 6).filter(|_| (0xd800..0xdc00).contains(&unit)) {
        Some(low) => (0x10000 + ((unit - 0xd800) << 10) + (low - 0xdc00), 12),
        None => (unit, 6),
    };
    let character = char::from_u32(code).expect("the escape was checked");
    out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
    width
}

/// Appends checked JSON text without the white space outside its strings.
pub(crate) fn push_compact(text: &str, out: &mut Vec<u8>) {
    let mut in_string = false;
    let mut after_backslash = false;
    for byte in text.bytes() {
        if in_string {
            in_string = byte != b'"' || after_backslash;
            after_backslash = byte == b'\\' && !after_backslash;
        } else if matches!(byte, b' ' | b'\t' | b'\n' | b'\r') {
            continue;
        } else {
            in_string = byte == b'"';
        }
        out.push(byte);
    }
}

#[cfg(test)]
mod tests;
