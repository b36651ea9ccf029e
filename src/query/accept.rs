//! Which format an `Accept` header prefers (RFC 9110, section 12.5.1).

use super::write::Format;

/// The format that the values of `Accept` like best. The one named most exactly wins among equals,
/// then the one named first. JSON when they allow none there is, and when there are none.
pub(super) fn accepted<'a>(headers: impl Iterator<Item = &'a str>) -> Format {
    let ranges: Vec<_> = headers
        .flat_map(|header| header.split(','))
        .filter_map(Range::parse)
        .collect();
    let liked = Format::ALL.into_iter().filter_map(|format| {
        let (position, range, exactness) = ranges
            .iter()
            .enumerate()
            .filter_map(|(position, range)| Some((position, range, range.exactness(format)?)))
            // `max_by_key` takes the last of equals; the first is meant.
            .rev()
            .max_by_key(|(.., exactness)| *exactness)?;
        (range.quality > 0.0).then_some((format, range.quality, exactness, position))
    });
    let best = liked.reduce(|best, next| {
        let order = (best.1.total_cmp(&next.1))
            .then(best.2.cmp(&next.2))
            .then(next.3.cmp(&best.3));
        if order.is_lt() { next } else { best }
    });
    best.map_or(Format::Json, |(format, ..)| format)
}

/// One media range, with `*` where it leaves something open.
#[derive(Debug)]
struct Range<'a> {
    kind: &'a str,
    subtype: &'a str,
    quality: f64,
}

impl<'a> Range<'a> {
    fn parse(text: &'a str) -> Option<Self> {
        let mut parts = text.split(';').map(str::trim);
        let (kind, subtype) = parts.next()?.split_once('/')?;
        let quality = parts.find_map(|parameter| {
            let (name, value) = parameter.split_once('=')?;
            name.trim().eq_ignore_ascii_case("q").then_some(value)
        });
        let quality = quality.map_or(Some(1.0), |value| value.trim().parse().ok())?;
        (0.0..=1.0).contains(&quality).then_some(Self {
            kind,
            subtype,
            quality,
        })
    }

    /// How exactly it names a format; `None` when it leaves it out.
    fn exactness(&self, format: Format) -> Option<u8> {
        let (kind, subtype) = format.media_type();
        match (self.kind, self.subtype) {
            ("*", "*") => Some(0),
            (named, "*") if named.eq_ignore_ascii_case(kind) => Some(1),
            (named, of) if named.eq_ignore_ascii_case(kind) && of.eq_ignore_ascii_case(subtype) => {
                Some(2)
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case::nothing(&[], Format::Json)]
    #[case::anything(&["*/*"], Format::Json)]
    #[case::csv(&["text/csv"], Format::Csv)]
    #[case::any_case(&["Text/CSV; charset=utf-8"], Format::Csv)]
    #[case::ndjson(&["application/x-ndjson"], Format::NdJson)]
    #[case::json(&["application/json"], Format::Json)]
    #[case::any_text(&["text/*"], Format::Csv)]
    #[case::any_application(&["application/*"], Format::Json)]
    #[case::browser(&["text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"], Format::Json)]
    #[case::preferred(&["application/json;q=0.5, text/csv"], Format::Csv)]
    #[case::less_preferred(&["text/csv;q=0.1, application/json;q=0.2"], Format::Json)]
    #[case::named_before_open(&["*/*, text/csv"], Format::Csv)]
    #[case::named_first(&["application/x-ndjson, application/json"], Format::NdJson)]
    #[case::refused(&["application/json;q=0, */*;q=0.1"], Format::Csv)]
    #[case::the_exact_range_counts(&["text/csv;q=0.3, text/*, application/json;q=0.5"], Format::Json)]
    #[case::two_headers(&["text/html", "text/csv"], Format::Csv)]
    #[case::none_there_is(&["image/png"], Format::Json)]
    #[case::all_refused(&["*/*;q=0"], Format::Json)]
    #[case::nonsense(&["csv", ";;", "text/csv;q=2", "text/csv;q=x"], Format::Json)]
    fn the_format_liked_best_is_taken(#[case] headers: &[&str], #[case] expected: Format) {
        assert_eq!(accepted(headers.iter().copied()), expected);
    }
}
