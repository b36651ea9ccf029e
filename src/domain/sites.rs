//! Which sites somebody has to do with.

use super::PlaceName;
use std::collections::BTreeSet;
use std::sync::Arc;

/// All sites, or those named. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Sites(Option<Arc<BTreeSet<String>>>);

impl Sites {
    /// Most sites one can be restricted to. Each makes a filter of a subscription.
    pub const COUNT_MAX: usize = 32;

    pub const ALL: Self = Self(None);

    /// Only these. `Err` says what is wrong with them.
    pub fn only(names: impl IntoIterator<Item = String>) -> Result<Self, String> {
        let names: BTreeSet<_> = names.into_iter().collect();
        if names.is_empty() || names.len() > Self::COUNT_MAX {
            return Err(format!("must name 1 to {} sites", Self::COUNT_MAX));
        }
        let parsed = names.iter().map(|name| PlaceName::parse(name));
        let parsed = parsed.map(|name| name.map(|name| name.as_str().to_owned()));
        let names = parsed.collect::<Result<_, _>>();
        let names = names.map_err(|error| format!("a name {error}"))?;
        Ok(Self(Some(Arc::new(names))))
    }

    pub fn are_all(&self) -> bool {
        self.0.is_none()
    }

    pub fn allow(&self, site: &str) -> bool {
        self.0.as_ref().is_none_or(|names| names.contains(site))
    }

    /// The names; `None` for all sites.
    pub fn names(&self) -> Option<impl Iterator<Item = &str>> {
        self.0
            .as_ref()
            .map(|names| names.iter().map(String::as_str))
    }

    /// Whether each of these sites is one of `others`.
    pub fn are_within(&self, others: &Self) -> bool {
        match (&self.0, &others.0) {
            (_, None) => true,
            (None, Some(_)) => false,
            (Some(these), Some(others)) => these.is_subset(others),
        }
    }
}

/// As they were kept, which may have been before names had one form.
impl From<Option<BTreeSet<String>>> for Sites {
    fn from(names: Option<BTreeSet<String>>) -> Self {
        let nearest = |name: &String| PlaceName::nearest(name).as_str().to_owned();
        Self(names.map(|names| Arc::new(names.iter().map(nearest).collect())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn only(names: &[&str]) -> Sites {
        Sites::only(names.iter().map(|name| (*name).to_owned())).unwrap()
    }

    #[test]
    fn a_restriction_names_what_is_allowed() {
        assert!(Sites::ALL.allow("anything"));
        let sites = only(&["Maison", "École"]);
        assert!(sites.allow("Maison") && !sites.allow("maison"));
        assert!(sites.are_within(&Sites::ALL) && !Sites::ALL.are_within(&sites));
        assert!(only(&["Maison"]).are_within(&sites) && !sites.are_within(&only(&["Maison"])));
    }

    #[test]
    fn a_site_is_the_same_however_its_name_is_written_or_was_kept() {
        let sites = only(&["E\u{301}cole ", "Maison"]);
        assert!(sites.allow("École"));
        let kept = BTreeSet::from(["E\u{301}cole".to_owned(), "Mai\u{202e}son".to_owned()]);
        assert_eq!(Sites::from(Some(kept)), sites);
    }

    #[test]
    fn a_restriction_to_nothing_too_much_or_no_name_is_refused() {
        let many = (0..33).map(|number| number.to_string());
        assert!(Sites::only(many).is_err());
        assert!(Sites::only([]).is_err());
        assert!(Sites::only(["a\nb".to_owned()]).is_err());
    }
}
