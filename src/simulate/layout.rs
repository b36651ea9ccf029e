//! Sites and rooms by number. Room `n` is the same whatever the number of rooms.

use super::kind::RoomKind;

/// Rooms of one round of sites, mixed so that a few rooms already show several sites.
const ROOMS: [(usize, &str, RoomKind); 30] = [
    (0, "Salon", RoomKind::LivingRoom),
    (0, "Cuisine", RoomKind::Kitchen),
    (0, "Chambre", RoomKind::Bedroom),
    (0, "Bureau", RoomKind::Study),
    (1, "Open space", RoomKind::OpenOffice),
    (1, "Salle de réunion", RoomKind::MeetingRoom),
    (2, "Salle 1", RoomKind::Classroom),
    (2, "Salle 2", RoomKind::Classroom),
    (0, "Salle de bain", RoomKind::Bathroom),
    (3, "Atelier bois", RoomKind::Workshop),
    (0, "Chambre des enfants", RoomKind::Bedroom),
    (1, "Salle Rhône", RoomKind::MeetingRoom),
    (4, "Living room", RoomKind::LivingRoom),
    (4, "Kitchen", RoomKind::Kitchen),
    (2, "Salle 3", RoomKind::Classroom),
    (4, "Bedroom", RoomKind::Bedroom),
    (1, "Plateau comptabilité", RoomKind::OpenOffice),
    (5, "Open plan", RoomKind::OpenOffice),
    (5, "Meeting room", RoomKind::MeetingRoom),
    (2, "Salle des maîtres", RoomKind::MeetingRoom),
    (3, "Atelier métal", RoomKind::Workshop),
    (3, "Bureau d'études", RoomKind::OpenOffice),
    (4, "Bathroom", RoomKind::Bathroom),
    (4, "Home office", RoomKind::Study),
    (2, "Salle 4", RoomKind::Classroom),
    (1, "Salle Saône", RoomKind::MeetingRoom),
    (5, "Board room", RoomKind::MeetingRoom),
    (0, "Chambre d'amis", RoomKind::Bedroom),
    (2, "Atelier arts", RoomKind::Classroom),
    (5, "Drawing office", RoomKind::OpenOffice),
];

const SITES: [&str; 6] = [
    "Maison",
    "Bureaux Lyon",
    "École Jules-Ferry",
    "Ateliers Gerland",
    "Flat 12",
    "Leeds Office",
];

/// Names and use of a room.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) sensor_id: String,
    pub(super) site_name: String,
    pub(super) room_name: String,
    /// Number of the site; rooms of one site share it.
    pub(super) site: u64,
    pub(super) kind: RoomKind,
}

impl Place {
    /// The place with this number, counted from 0.
    pub(super) fn numbered(number: u32) -> Self {
        let index = usize::try_from(number).unwrap_or(usize::MAX);
        let (round, (site, room_name, kind)) = (index / ROOMS.len(), ROOMS[index % ROOMS.len()]);
        let site_name = if round == 0 {
            SITES[site].to_owned()
        } else {
            format!("{} {}", SITES[site], round + 1)
        };
        let slug = slug(&format!("{site_name} {room_name}"));
        Self {
            sensor_id: format!("sim-{slug}-{}", u64::from(number) + 1),
            site: u64::try_from(round * SITES.len() + site).unwrap_or(u64::MAX),
            site_name,
            room_name: room_name.to_owned(),
            kind,
        }
    }
}

/// Lower-case ASCII letters and digits of a name, with one hyphen in place of anything else.
fn slug(name: &str) -> String {
    let mut slug = String::with_capacity(name.len());
    for character in name.to_lowercase().chars() {
        let plain = match character {
            'a'..='z' | '0'..='9' => character,
            'à' | 'â' | 'ä' => 'a',
            'ç' => 'c',
            'è' | 'é' | 'ê' | 'ë' => 'e',
            'î' | 'ï' => 'i',
            'ô' | 'ö' => 'o',
            'ù' | 'û' | 'ü' => 'u',
            _ => '-',
        };
        if plain != '-' || !slug.ends_with('-') {
            slug.push(plain);
        }
    }
    slug.trim_matches('-').to_owned()
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn a_thousand_rooms_have_distinct_valid_names() {
        let places: Vec<_> = (0..1000).map(Place::numbered).collect();
        let ids: HashSet<_> = places.iter().map(|place| &place.sensor_id).collect();
        let names: HashSet<_> = places
            .iter()
            .map(|place| (&place.site_name, &place.room_name))
            .collect();
        assert_eq!((ids.len(), names.len()), (1000, 1000));
        for place in &places {
            assert!(place.sensor_id.len() <= 64, "{}", place.sensor_id);
            let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
            assert!(place.sensor_id.chars().all(allowed), "{}", place.sensor_id);
        }
    }

    #[test]
    fn rooms_of_a_site_share_its_number_and_nobody_else_does() {
        let places: Vec<_> = (0..200).map(Place::numbered).collect();
        for (a, b) in places
            .iter()
            .flat_map(|a| places.iter().map(move |b| (a, b)))
        {
            assert_eq!(a.site == b.site, a.site_name == b.site_name, "{a:?} {b:?}");
        }
    }

    #[test]
    fn accents_are_folded() {
        assert_eq!(
            slug("École Jules-Ferry Salle des maîtres"),
            "ecole-jules-ferry-salle-des-maitres"
        );
        assert_eq!(slug("Maison Chambre d'amis"), "maison-chambre-d-amis");
        assert_eq!(Place::numbered(0).sensor_id, "sim-maison-salon-1");
    }
}
