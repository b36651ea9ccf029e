//! Kinds of rooms and what is typical of each.

use super::time::{LocalMinute, Weekday};

/// Use of a room; decides its size, its people's habits and its equipment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RoomKind {
    OpenOffice,
    Study,
    MeetingRoom,
    Classroom,
    Kitchen,
    Bedroom,
    LivingRoom,
    Bathroom,
    Workshop,
}

/// Typical properties of a kind; ranges are drawn from once per room.
#[derive(Debug, Clone, Copy)]
pub(super) struct Profile {
    pub(super) floor_m2: (f64, f64),
    pub(super) height_m: f64,
    /// People who use the room at most.
    pub(super) people: (u32, u32),
    /// CO2 of a waking person, in L/s (Persily and de Jonge 2017).
    pub(super) co2_l_s: f64,
    /// Fan-driven air changes per hour that run all day, beside leakage.
    pub(super) fan_per_hour: f64,
    /// Devices in use per person, in W.
    pub(super) device_w: f64,
    /// Air conditioning that holds 25.5 °C.
    pub(super) cooled: bool,
    /// TVOC from materials at 21 °C, in ppb/h.
    pub(super) material_ppb_h: f64,
}

impl RoomKind {
    pub(super) fn profile(self) -> Profile {
        match self {
            Self::OpenOffice => Profile {
                floor_m2: (45.0, 110.0),
                people: (4, 10),
                device_w: 80.0,
                ..OFFICE
            },
            Self::MeetingRoom => Profile {
                fan_per_hour: 0.5,
                material_ppb_h: 50.0,
                ..OFFICE
            },
            Self::Study => Profile {
                people: (1, 1),
                co2_l_s: 0.0044,
                device_w: 80.0,
                ..HOME
            },
            Self::Classroom => Profile {
                floor_m2: (50.0, 65.0),
                height_m: 3.0,
                people: (18, 28),
                co2_l_s: 0.0029,
                fan_per_hour: 0.2,
                material_ppb_h: 35.0,
                ..HOME
            },
            Self::Workshop => Profile {
                floor_m2: (60.0, 120.0),
                height_m: 3.5,
                people: (2, 6),
                co2_l_s: 0.0068,
                fan_per_hour: 0.3,
                device_w: 100.0,
                material_ppb_h: 60.0,
                ..HOME
            },
            Self::Kitchen => Profile {
                people: (2, 4),
                co2_l_s: 0.0054,
                fan_per_hour: 0.5,
                ..HOME
            },
            Self::Bedroom => HOME,
            Self::LivingRoom => Profile {
                floor_m2: (20.0, 34.0),
                people: (2, 5),
                device_w: 30.0,
                ..HOME
            },
            Self::Bathroom => Profile {
                floor_m2: (5.0, 8.0),
                people: (2, 4),
                fan_per_hour: 0.8,
                ..HOME
            },
        }
    }

    /// Heating setpoint in °C, lowered at night and where nobody works on weekends.
    pub(super) fn heating_c(self, local: LocalMinute) -> f64 {
        let (comfort_c, setback_c, minutes) = match self {
            Self::OpenOffice | Self::MeetingRoom => (21.0, 17.0, 360..1110),
            Self::Classroom => (20.5, 16.5, 360..1020),
            Self::Workshop => (18.0, 14.0, 390..1020),
            Self::Study | Self::LivingRoom => (20.5, 18.0, 375..1350),
            Self::Kitchen => (20.0, 18.0, 375..1290),
            Self::Bedroom => (18.5, 17.5, 375..1350),
            Self::Bathroom => (22.0, 19.0, 360..1320),
        };
        let shut = self.is_workplace() && local.weekday().is_weekend();
        if minutes.contains(&local.minute_of_day) && !shut {
            comfort_c
        } else {
            setback_c
        }
    }

    /// Whether the room is empty on weekends.
    pub(super) fn is_workplace(self) -> bool {
        matches!(
            self,
            Self::OpenOffice | Self::MeetingRoom | Self::Classroom | Self::Workshop
        )
    }

    /// Whether lessons or work end at noon.
    pub(super) fn is_half_day(self, weekday: Weekday) -> bool {
        self == Self::Classroom && weekday == Weekday::Wednesday
    }
}

/// A small room of a dwelling.
const HOME: Profile = Profile {
    floor_m2: (10.0, 15.0),
    height_m: 2.5,
    people: (1, 2),
    co2_l_s: 0.0041,
    fan_per_hour: 0.1,
    device_w: 0.0,
    cooled: false,
    material_ppb_h: 40.0,
};

/// A meeting room of an office building.
const OFFICE: Profile = Profile {
    floor_m2: (18.0, 35.0),
    height_m: 2.75,
    people: (5, 10),
    co2_l_s: 0.0044,
    fan_per_hour: 0.4,
    device_w: 20.0,
    cooled: true,
    material_ppb_h: 45.0,
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heating_is_lower_at_night_and_on_free_days() {
        let at = |day, minute_of_day| LocalMinute { day, minute_of_day };
        let (friday, saturday) = (1, 2);
        assert_eq!(
            RoomKind::OpenOffice.heating_c(at(friday, 600)).to_bits(),
            21.0f64.to_bits()
        );
        assert!(RoomKind::OpenOffice.heating_c(at(friday, 120)) < 18.0);
        assert!(RoomKind::OpenOffice.heating_c(at(saturday, 600)) < 18.0);
        assert!(RoomKind::LivingRoom.heating_c(at(saturday, 600)) > 20.0);
    }
}
