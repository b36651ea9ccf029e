//! Narrows a subscription to the sites that its client may see.

use super::protocol::CommandError;
use crate::access::Caller;
use crate::domain::Selector;
use crate::domain::Topic;
use crate::store::Store;

/// The filters a subscription is narrowed to. Whoever is restricted to sites and asks for everything
/// gets a filter for each of them, so what is about no site never reaches it.
fn narrowed(
    caller: &Caller,
    topics: &[Topic],
    filter: &Selector,
) -> Result<Vec<Selector>, CommandError> {
    let Some(sites) = caller.sites().names() else {
        return Ok(vec![filter.clone()]);
    };
    if topics.contains(&Topic::System) {
        return Err(forbidden("system is for those who may see every site"));
    }
    if let Some(site) = &filter.site {
        return if caller.sites().allow(site) {
            Ok(vec![filter.clone()])
        } else {
            Err(forbidden("it is none of your sites"))
        };
    }
    let of_site = |site: &str| Selector {
        site: Some(site.into()),
        ..filter.clone()
    };
    Ok(sites.map(of_site).collect())
}

/// The filters of a subscription to what a filter means, as far as its client may have it. Names of
/// before mean what is called otherwise now.
pub(super) fn filters(
    store: &Store,
    caller: &Caller,
    topics: &[Topic],
    filter: &Selector,
) -> Result<Vec<Selector>, CommandError> {
    let mut filters = narrowed(caller, topics, filter)?;
    if !filter.is_open() {
        for meant in store.directory(|directory| directory.meant(filter)) {
            // What is at none of its sites now it does not get.
            for new in narrowed(caller, topics, &meant).unwrap_or_default() {
                if !filters.contains(&new) {
                    filters.push(new);
                }
            }
        }
    }
    Ok(filters)
}

/// Whether somebody may see how the host is.
pub(super) fn may_see_host(caller: &Caller) -> Result<(), CommandError> {
    if caller.sites().are_all() {
        Ok(())
    } else {
        Err(forbidden(
            "host metrics are for those who may see every site",
        ))
    }
}

pub(super) fn forbidden(detail: &str) -> CommandError {
    CommandError {
        code: "forbidden",
        detail: detail.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::test_support::viewer_of;

    fn filter(site: Option<&str>, sensor: Option<&str>) -> Selector {
        Selector {
            site: site.map(Into::into),
            room: None,
            sensor: sensor.map(Into::into),
        }
    }

    #[test]
    fn whoever_may_see_everything_gets_what_he_asks_for() {
        let anyone = Caller::anyone();
        let asked = filter(Some("Maison"), None);
        assert_eq!(narrowed(&anyone, &[Topic::All], &asked).unwrap(), [asked]);
        narrowed(&anyone, &[Topic::System], &Selector::default()).unwrap();
        may_see_host(&anyone).unwrap();
    }

    #[test]
    fn whoever_is_restricted_gets_his_sites_and_nothing_else() {
        let caller = viewer_of(&["École", "Maison"]);
        let all = narrowed(&caller, &[Topic::All], &Selector::default()).unwrap();
        assert_eq!(
            all,
            [filter(Some("Maison"), None), filter(Some("École"), None)]
        );
        let sensor = narrowed(&caller, &[Topic::Measurements], &filter(None, Some("s"))).unwrap();
        assert_eq!(sensor.len(), 2);
        assert!(sensor.iter().all(|filter| filter.site.is_some()));
        let own = filter(Some("Maison"), Some("s"));
        assert_eq!(narrowed(&caller, &[Topic::Alerts], &own).unwrap(), [own]);
        let refused =
            |topic, filter: &Selector| narrowed(&caller, &[topic], filter).unwrap_err().code;
        assert_eq!(
            refused(Topic::All, &filter(Some("Bureau"), None)),
            "forbidden"
        );
        assert_eq!(refused(Topic::System, &Selector::default()), "forbidden");
        assert_eq!(may_see_host(&caller).unwrap_err().code, "forbidden");
    }
}
