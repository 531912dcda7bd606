//! Text from outside, made fit for a line.
//!
//! What a server, a proxy or a stranger sends may be 50 MB long, break lines, move a terminal's cursor or turn the
//! direction of writing. It is cut and escaped once, where it comes in, and carried as an [`Excerpt`] from there on.

use std::fmt;

/// Bytes of foreign text that are shown, at most.
pub const EXCERPT_BYTES_MAX: usize = 200;
/// Bytes of a line of our own words with excerpts in it, at most.
pub const LINE_BYTES_MAX: usize = 1_000;

/// The begin of a foreign text in one line: at most [`EXCERPT_BYTES_MAX`] bytes, nothing in it that a terminal obeys.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Excerpt(String);

impl Excerpt {
    /// Cuts `text`, white space around it left out, and escapes what is not to be printed.
    pub fn of(text: &str) -> Self {
        Self(one_line(text.trim(), EXCERPT_BYTES_MAX))
    }

    /// The same of our own words in which foreign text may stand: at most [`LINE_BYTES_MAX`] bytes.
    pub fn line(text: &str) -> Self {
        Self(one_line(text.trim(), LINE_BYTES_MAX))
    }

    /// The same of bytes; what is not UTF-8 becomes a replacement character.
    pub fn of_bytes(bytes: &[u8]) -> Self {
        // No character takes more than four bytes: what is behind cannot be shown.
        let shown = &bytes[..bytes.len().min(EXCERPT_BYTES_MAX * 4)];
        Self::of(&String::from_utf8_lossy(shown))
    }

    /// The line.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether there was nothing but white space.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Display for Excerpt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Excerpt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

/// The parts of a text if there are `N`, no fewer and no more.
pub(crate) fn exactly<T: Copy + Default, const N: usize>(mut all: impl Iterator<Item = T>) -> Option<[T; N]> {
    let mut parts = [T::default(); N];
    for part in &mut parts {
        *part = all.next()?;
    }
    all.next().is_none().then_some(parts)
}

/// `text` in one line that nothing obeys: what is not to be printed is escaped, and past `bytes_max` bytes it is cut,
/// which it says.
pub fn one_line(text: &str, bytes_max: usize) -> String {
    escape(text, bytes_max, is_unprintable)
}

/// As [`one_line`], with another view of what is not to be printed.
pub(crate) fn escape(text: &str, bytes_max: usize, is_escaped: impl Fn(char) -> bool) -> String {
    let mut line = String::with_capacity(text.len().min(bytes_max));
    for (at, c) in text.char_indices() {
        let before = line.len();
        if is_escaped(c) {
            line.extend(c.escape_default());
        } else {
            line.push(c);
        }
        if line.len() > bytes_max {
            line.truncate(before);
            line.push_str(&format!("… ({} bytes more)", text.len() - at));
            break;
        }
    }
    line
}

/// A decimal without the zeros at its end that say nothing; two digits behind the point stay.
pub fn short_decimal(text: &str) -> &str {
    let Some((whole, digits)) = text.split_once('.') else { return text };
    let kept = digits.trim_end_matches('0').len().max(digits.len().min(2));
    &text[..whole.len() + 1 + kept]
}

/// Control characters, and those of Unicode that break a line, are invisible, or turn the direction of writing (UAX #9).
pub(crate) fn is_unprintable(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{ad}' | '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
        || matches!(c, '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_short_text_stays_as_it_is() {
        assert_eq!(Excerpt::of(" no such bucket \n").as_str(), "no such bucket");
        assert_eq!(Excerpt::of("币安人生USDT é").as_str(), "币安人生USDT é");
        assert!(Excerpt::of(" \r\n").is_empty());
    }

    #[test]
    fn nothing_breaks_a_line_or_moves_a_cursor() {
        let forged = "done\n2026-11-25T10:00:00Z  INFO all is well\r\u{1b}[2J\u{7}\u{9b}31m\u{202e}txt\u{2028}\u{feff}";
        let line = Excerpt::of(forged);
        let expected =
            "done\\n2026-11-25T10:00:00Z  INFO all is well\\r\\u{1b}[2J\\u{7}\\u{9b}31m\\u{202e}txt\\u{2028}\\u{feff}";
        assert_eq!(line.as_str(), expected);
    }

    #[test]
    fn a_long_text_is_cut_and_says_so() {
        let line = Excerpt::of(&"a".repeat(50 << 20));
        assert_eq!(line.as_str(), format!("{}… ({} bytes more)", "a".repeat(200), (50 << 20) - 200));
        assert!(Excerpt::of_bytes(&[0xff; 1 << 20]).as_str().len() < 230);
    }

    #[test]
    fn decimals_lose_the_zeros_that_say_nothing() {
        for (text, short) in [
            ("85950.41000000", "85950.41"),
            ("0.00001234", "0.00001234"),
            ("7.00000000", "7.00"),
            ("70", "70"),
            ("7.5", "7.5"),
        ] {
            assert_eq!(short_decimal(text), short);
        }
    }

    proptest! {
        #[test]
        fn any_text_becomes_one_printable_line(text in "(?s).{0,300}") {
            let line = Excerpt::of(&text);
            prop_assert!(line.as_str().len() <= EXCERPT_BYTES_MAX + 30);
            prop_assert!(!line.as_str().chars().any(is_unprintable));
        }
    }
}
