//! Python's spelling of a string, for the plain text lists.

use std::fmt::Write;

use unicode_properties::{GeneralCategory, UnicodeGeneralCategory};

/// Appends to `out` what Python 3's `repr` of the string prints.
pub fn push_repr(out: &mut String, text: &str) {
    // Double quotes only where they save an escape.
    let quote = if text.contains('\'') && !text.contains('"') {
        '"'
    } else {
        '\''
    };
    out.push(quote);
    for c in text.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c == quote => out.extend(['\\', c]),
            c if is_printable(c) => out.push(c),
            c => push_escape(out, u32::from(c)),
        }
    }
    out.push(quote);
}

fn push_escape(out: &mut String, code: u32) {
    // Writing to a String cannot fail.
    let _ = match code {
        0..=0xff => write!(out, "\\x{code:02x}"),
        0x100..=0xffff => write!(out, "\\u{code:04x}"),
        _ => write!(out, "\\U{code:08x}"),
    };
}

/// Python's `str.isprintable`: nothing of the categories Other and Separator but the space.
fn is_printable(c: char) -> bool {
    match c {
        ' '..='~' => true,
        '\0'..='\x7f' => false,
        _ => !matches!(
            c.general_category(),
            GeneralCategory::Control
                | GeneralCategory::Format
                | GeneralCategory::Surrogate
                | GeneralCategory::PrivateUse
                | GeneralCategory::Unassigned
                | GeneralCategory::LineSeparator
                | GeneralCategory::ParagraphSeparator
                | GeneralCategory::SpaceSeparator
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn repr(text: &str) -> String {
        let mut out = String::new();
        push_repr(&mut out, text);
        out
    }

    #[test]
    fn as_python_prints_it() {
        // Right: printed by CPython 3.11's repr().
        let table = [
            ("", "''"),
            ("hello", "'hello'"),
            ("it's", "\"it's\""),
            ("\"q\"", "'\"q\"'"),
            ("'\"", "'\\'\"'"),
            ("a\\b", "'a\\\\b'"),
            ("\n\r\t", "'\\n\\r\\t'"),
            ("\0\x1b\x7f", "'\\x00\\x1b\\x7f'"),
            ("\u{80}\u{a0}\u{ad}", "'\\x80\\xa0\\xad'"),
            ("привіт ü 漢 😀", "'привіт ü 漢 😀'"),
            ("e\u{301}", "'e\u{301}'"),
            (
                "\u{200b}\u{2028}\u{2029}\u{3000}",
                "'\\u200b\\u2028\\u2029\\u3000'",
            ),
            ("\u{feff}\u{fffe}\u{e000}", "'\\ufeff\\ufffe\\ue000'"),
            (
                "\u{e0001}\u{f0000}\u{10ffff}",
                "'\\U000e0001\\U000f0000\\U0010ffff'",
            ),
            ("\u{378}", "'\\u0378'"),
        ];
        for (text, printed) in table {
            assert_eq!(repr(text), printed);
        }
    }
}
