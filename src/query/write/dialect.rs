//! The kinds of CSV that spreadsheets of different languages expect.

/// What parts cells, what parts the whole of a number from its fraction, and whether the file says that
/// it is UTF-8.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Dialect {
    delimiter: Delimiter,
    decimal: Decimal,
    mark: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Delimiter {
    #[default]
    Comma,
    Semicolon,
    Tab,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Decimal {
    #[default]
    Point,
    Comma,
}

/// Why a dialect is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DialectError {
    #[error("must be , or ; or tab")]
    Delimiter,
    #[error("must be . or ,")]
    Decimal,
    /// It could be written, in quotes; but whoever reads it back could not tell it from a comma that
    /// parts thousands.
    #[error("cannot be the delimiter as well: choose ; or tab for that")]
    Same,
}

impl DialectError {
    /// The parameter that is at fault.
    pub const fn parameter(self) -> &'static str {
        match self {
            Self::Delimiter => "delimiter",
            Self::Decimal | Self::Same => "decimal",
        }
    }

    pub const fn code(self) -> &'static str {
        match self {
            Self::Delimiter => "unknown_delimiter",
            Self::Decimal => "unknown_decimal",
            Self::Same => "same_as_delimiter",
        }
    }
}

impl Dialect {
    /// The dialect with these names; what has none is as RFC 4180 and programs expect it.
    pub fn new(
        delimiter: Option<&str>,
        decimal: Option<&str>,
        mark: bool,
    ) -> Result<Self, DialectError> {
        let delimiter = match delimiter {
            None | Some(",") => Delimiter::Comma,
            Some(";") => Delimiter::Semicolon,
            Some("tab" | "\t") => Delimiter::Tab,
            Some(_) => return Err(DialectError::Delimiter),
        };
        let decimal = match decimal {
            None | Some(".") => Decimal::Point,
            Some(",") => Decimal::Comma,
            Some(_) => return Err(DialectError::Decimal),
        };
        if delimiter == Delimiter::Comma && decimal == Decimal::Comma {
            return Err(DialectError::Same);
        }
        Ok(Self {
            delimiter,
            decimal,
            mark,
        })
    }

    pub(crate) const fn delimiter(self) -> u8 {
        match self.delimiter {
            Delimiter::Comma => b',',
            Delimiter::Semicolon => b';',
            Delimiter::Tab => b'\t',
        }
    }

    pub(super) fn has_decimal_comma(self) -> bool {
        self.decimal == Decimal::Comma
    }

    /// Whether the file begins with a byte order mark, by which spreadsheets know UTF-8.
    pub(super) fn has_mark(self) -> bool {
        self.mark
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pretty_assertions::assert_eq;
    use rstest::rstest;

    #[rstest]
    #[case(None, None, b',', false)]
    #[case(Some(","), Some("."), b',', false)]
    #[case(Some(";"), Some(","), b';', true)]
    #[case(Some("tab"), Some(","), b'\t', true)]
    #[case(Some("\t"), None, b'\t', false)]
    fn dialects_have_names(
        #[case] delimiter: Option<&str>,
        #[case] decimal: Option<&str>,
        #[case] byte: u8,
        #[case] comma: bool,
    ) {
        let dialect = Dialect::new(delimiter, decimal, false).unwrap();
        assert_eq!(
            (dialect.delimiter(), dialect.has_decimal_comma()),
            (byte, comma)
        );
    }

    #[rstest]
    #[case(Some("|"), None, DialectError::Delimiter)]
    #[case(None, Some("'"), DialectError::Decimal)]
    #[case(None, Some(","), DialectError::Same)]
    #[case(Some(","), Some(","), DialectError::Same)]
    fn what_is_none_is_told(
        #[case] delimiter: Option<&str>,
        #[case] decimal: Option<&str>,
        #[case] error: DialectError,
    ) {
        assert_eq!(Dialect::new(delimiter, decimal, true), Err(error));
    }
}
