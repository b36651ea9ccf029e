//! One room: its air, and what drives it.
//!
//! Decisions (people, windows, heating) are taken on every full minute and held until the next;
//! between two of them each balance has its exact solution. The air at an instant therefore does
//! not depend on the instants asked for before.

use super::balance;
use super::emission::{self, Emission};
use super::kind::{Profile, RoomKind};
use super::moisture;
use super::occupancy::DayPlan;
use super::random::{Purpose, Random};
use super::time::{DAY_MINUTES, LocalMinute, MINUTE_MS};
use super::weather::{OUTDOOR_CO2_PPM, OUTDOOR_TVOC_PPB, Outdoor, Weather};
use super::window::{Perception, Windows};

/// Minutes simulated before the first reading, so that no trace of the initial values is left.
const WARM_UP_MINUTES: i64 = DAY_MINUTES;

/// A longer leap than this begins afresh with a warm-up instead of walking every minute.
const CATCH_UP_MINUTES_MAX: i64 = 7 * DAY_MINUTES;

/// CO2 of a sleeper, in L/s (Persily and de Jonge 2017, 30 to 40 years, 1.0 met).
const ASLEEP_CO2_L_S: f64 = 0.0033;

/// Settling of particles on surfaces, per hour, by size; about 0.3/h for PM2.5 as a whole.
const DEPOSITION_PER_HOUR: [f64; 3] = [0.25, 0.45, 1.2];

/// Share of outdoor particles that passes cracks and inlets, by size; windows let all pass.
const PENETRATION: [f64; 3] = [0.85, 0.75, 0.4];

/// Heat capacity of air, in J/(m³·K).
const AIR_J_M3_K: f64 = 1206.0;

/// Heat that furniture and wall surfaces store, as a multiple of the air's.
const THERMAL_MASS: f64 = 8.0;

/// Heat loss through the envelope, in W/K per m² of floor.
const ENVELOPE_W_K_M2: f64 = 0.9;

/// Moisture that air, fabrics and plaster store together, as a multiple of the air's.
const MOISTURE_BUFFER: f64 = 3.0;

/// Density of dry air, in kg/m³.
const AIR_KG_M3: f64 = 1.2;

/// Highest saturation of indoor air; the surplus condenses on cold surfaces.
const SATURATION_MAX: f64 = 0.98;

/// Full power of heating, of cooling and of the sun through the windows, in W per m² of floor.
const HEATING_W_M2: f64 = 110.0;
const COOLING_W_M2: f64 = 80.0;
const SUN_W_M2: f64 = 10.0;

/// Temperature above which cooling works, in °C.
const COOLING_C: f64 = 25.5;

/// Air of a room, without the errors of a sensor.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Air {
    pub(super) co2_ppm: f64,
    pub(super) temperature_c: f64,
    /// Grams of vapour per kilogram of dry air.
    pub(super) moisture_g_kg: f64,
    /// Particles below 1 µm, from 1 to 2.5 µm and from 2.5 to 10 µm, in µg/m³.
    pub(super) dust_ug_m3: [f64; 3],
    pub(super) tvoc_ppb: f64,
}

/// Gain per hour and loss rate of one quantity.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Flow {
    gain_per_hour: f64,
    loss_per_hour: f64,
}

impl Flow {
    fn after(self, initial: f64, hours: f64) -> f64 {
        balance::after(initial, self.gain_per_hour, self.loss_per_hour, hours)
    }
}

/// What acts on the air during one minute.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Drive {
    people: u32,
    co2: Flow,
    temperature: Flow,
    moisture: Flow,
    dust: [Flow; 3],
    tvoc: Flow,
}

/// A simulated room.
#[derive(Debug)]
pub(super) struct Room {
    seed: u64,
    number: u64,
    kind: RoomKind,
    profile: Profile,
    offset_minutes: i64,
    floor_m2: f64,
    volume_m3: f64,
    people_max: u32,
    closed_per_hour: f64,
    window_per_hour: f64,
    weather: Weather,
    windows: Windows,
    plan: DayPlan,
    plan_day: i64,
    /// Minute since the Unix epoch at which `air` holds and from which `drive` acts.
    minute: i64,
    air: Air,
    drive: Drive,
}

/// What tells a room from the others.
#[derive(Debug, Clone, Copy)]
pub(super) struct RoomIdentity {
    pub(super) seed: u64,
    /// Number in the building; selects the room's random streams.
    pub(super) number: u64,
    /// Number of its site; rooms of a site share their weather.
    pub(super) site: u64,
    pub(super) kind: RoomKind,
    /// Local time minus UTC.
    pub(super) offset_minutes: i64,
}

impl Room {
    /// A room that has been in use for a day before `unix_ms`.
    pub(super) fn new(identity: RoomIdentity, unix_ms: i64) -> Self {
        let RoomIdentity {
            seed,
            number,
            site,
            kind,
            offset_minutes,
        } = identity;
        let profile = kind.profile();
        let mut random = Random::new(seed, number, Purpose::Construction, 0);
        let floor_m2 = random.between(profile.floor_m2.0, profile.floor_m2.1);
        let mut room = Self {
            seed,
            number,
            kind,
            profile,
            offset_minutes,
            floor_m2,
            volume_m3: floor_m2 * profile.height_m,
            people_max: random.whole(profile.people.0, profile.people.1),
            closed_per_hour: random.between(0.2, 0.4) + profile.fan_per_hour,
            window_per_hour: random.between(5.0, 10.0),
            weather: Weather::new(seed, site),
            windows: Windows::closed(random.between(950.0, 1500.0)),
            plan: DayPlan::default(),
            plan_day: i64::MIN,
            minute: 0,
            air: INITIAL_AIR,
            drive: Drive::default(),
        };
        room.begin(unix_ms.div_euclid(MINUTE_MS));
        room
    }

    /// Volume of air, in m³.
    #[cfg(test)]
    pub(super) fn volume_m3(&self) -> f64 {
        self.volume_m3
    }

    /// Moves to `unix_ms`; an earlier instant than the present one changes nothing.
    pub(super) fn advance_to(&mut self, unix_ms: i64) {
        let target = unix_ms.div_euclid(MINUTE_MS);
        if target.saturating_sub(self.minute) > CATCH_UP_MINUTES_MAX {
            self.begin(target);
        }
        self.walk_to(target);
    }

    /// Air at `unix_ms`, which lies within the present minute; others are taken as its ends.
    pub(super) fn air_at(&self, unix_ms: i64) -> Air {
        let into_ms = unix_ms.saturating_sub(self.minute.saturating_mul(MINUTE_MS));
        let into_ms = u32::try_from(into_ms.clamp(0, MINUTE_MS)).unwrap_or(0);
        self.projected(f64::from(into_ms) / 3.6e6)
    }

    /// People present in the present minute.
    pub(super) fn people(&self) -> u32 {
        self.drive.people
    }

    fn begin(&mut self, target: i64) {
        self.minute = target.saturating_sub(WARM_UP_MINUTES);
        self.air = INITIAL_AIR;
        self.windows.open = false;
        self.decide();
        self.walk_to(target);
    }

    fn walk_to(&mut self, target: i64) {
        while self.minute < target {
            self.air = self.projected(1.0 / 60.0);
            self.minute += 1;
            self.decide();
        }
    }

    fn projected(&self, hours: f64) -> Air {
        let mut dust_ug_m3 = self.air.dust_ug_m3;
        for (mass, flow) in dust_ug_m3.iter_mut().zip(self.drive.dust) {
            *mass = flow.after(*mass, hours);
        }
        let temperature_c = self.drive.temperature.after(self.air.temperature_c, hours);
        let moisture_g_kg = self.drive.moisture.after(self.air.moisture_g_kg, hours);
        let moisture_max = SATURATION_MAX * moisture::saturation_g_kg(temperature_c);
        Air {
            co2_ppm: self.drive.co2.after(self.air.co2_ppm, hours),
            temperature_c,
            moisture_g_kg: moisture_g_kg.min(moisture_max),
            dust_ug_m3,
            tvoc_ppb: self.drive.tvoc.after(self.air.tvoc_ppb, hours),
        }
    }

    /// Sets what acts on the air from this minute on.
    fn decide(&mut self) {
        let local = LocalMinute::at(self.minute, self.offset_minutes);
        if local.day != self.plan_day {
            let mut random = Random::new(self.seed, self.number, Purpose::DayPlan, local.day);
            self.plan = DayPlan::new(self.kind, self.people_max, local, &mut random);
            self.plan_day = local.day;
        }
        let outdoor = self.weather.outdoor(self.minute, local);
        let setpoint_c = self.kind.heating_c(local);
        let presence = self.plan.presence(local.minute_of_day);
        let perception = Perception {
            awake: presence.awake,
            airing: self.plan.is_airing(local.minute_of_day),
            co2_ppm: self.air.co2_ppm,
            fine_dust_above_outdoor_ug_m3: self.air.dust_ug_m3[0] - outdoor.dust_ug_m3[0],
            temperature_c: self.air.temperature_c,
            outdoor_c: outdoor.temperature_c,
            setpoint_c,
        };
        let (seed, number, minute) = (self.seed, self.number, self.minute);
        self.windows.act(minute, &perception, || {
            Random::new(seed, number, Purpose::Window, minute)
        });

        let (awake, asleep) = (f64::from(presence.awake), f64::from(presence.asleep));
        let mut emission = self.plan.emission(local.minute_of_day);
        emission.add(awake, &emission::AWAKE);
        emission.add(asleep, &emission::ASLEEP);
        emission.heat_w += awake * self.profile.device_w;
        let breath_ppm_h =
            balance::co2_source_ppm_per_hour(awake, self.profile.co2_l_s, self.volume_m3)
                + balance::co2_source_ppm_per_hour(asleep, ASLEEP_CO2_L_S, self.volume_m3);
        self.drive = self.drive_for(&outdoor, &emission, breath_ppm_h, setpoint_c);
        self.drive.people = presence.people();
    }

    fn drive_for(
        &self,
        outdoor: &Outdoor,
        emission: &Emission,
        breath_ppm_h: f64,
        setpoint_c: f64,
    ) -> Drive {
        let window = if self.windows.open {
            self.window_per_hour
        } else {
            0.0
        };
        let exchange = self.closed_per_hour + window;
        let from_outside = |outdoor: f64, source_per_hour: f64| Flow {
            gain_per_hour: source_per_hour + exchange * outdoor,
            loss_per_hour: exchange,
        };
        let mut dust = [Flow::default(); 3];
        for (size, flow) in dust.iter_mut().enumerate() {
            let entering = self.closed_per_hour * PENETRATION[size] + window;
            flow.gain_per_hour =
                entering * outdoor.dust_ug_m3[size] + emission.dust_ug_h[size] / self.volume_m3;
            flow.loss_per_hour = exchange + DEPOSITION_PER_HOUR[size];
        }
        // Materials release about twice as much per 10 K.
        let materials =
            self.profile.material_ppb_h * ((self.air.temperature_c - 21.0) / 10.0).exp2();
        let moisture_kg = self.volume_m3 * AIR_KG_M3;
        let moisture = from_outside(outdoor.moisture_g_kg, emission.moisture_g_h / moisture_kg);
        Drive {
            people: 0,
            co2: from_outside(OUTDOOR_CO2_PPM, breath_ppm_h),
            temperature: self.heat_flow(exchange, outdoor, emission.heat_w, setpoint_c),
            moisture: Flow {
                gain_per_hour: moisture.gain_per_hour / MOISTURE_BUFFER,
                loss_per_hour: moisture.loss_per_hour / MOISTURE_BUFFER,
            },
            dust,
            tvoc: from_outside(
                OUTDOOR_TVOC_PPB,
                materials + emission.tvoc_ppb_m3_h / self.volume_m3,
            ),
        }
    }

    fn heat_flow(&self, exchange: f64, outdoor: &Outdoor, sources_w: f64, setpoint_c: f64) -> Flow {
        let kelvin_per_wh = 3600.0 / (THERMAL_MASS * AIR_J_M3_K * self.volume_m3);
        let loss_w_k =
            ENVELOPE_W_K_M2 * self.floor_m2 + AIR_J_M3_K * self.volume_m3 * exchange / 3600.0;
        // Full power 1 K away from the setpoint.
        let heating_w = HEATING_W_M2 * (setpoint_c - self.air.temperature_c).clamp(0.0, 1.0);
        let cooling_w = if self.profile.cooled && !self.windows.open {
            COOLING_W_M2 * (self.air.temperature_c - COOLING_C).clamp(0.0, 1.0)
        } else {
            0.0
        };
        let gain_w = sources_w + (SUN_W_M2 * outdoor.sun + heating_w - cooling_w) * self.floor_m2;
        Flow {
            gain_per_hour: (gain_w + loss_w_k * outdoor.temperature_c) * kelvin_per_wh,
            loss_per_hour: loss_w_k * kelvin_per_wh,
        }
    }
}

/// Air a warm-up begins with.
const INITIAL_AIR: Air = Air {
    co2_ppm: 600.0,
    temperature_c: 20.0,
    moisture_g_kg: 6.5,
    dust_ug_m3: [5.0, 2.0, 4.0],
    tvoc_ppb: 120.0,
};

#[cfg(test)]
mod tests {
    use super::*;

    /// Monday 2026-01-12 00:00 UTC.
    const MONDAY_MS: i64 = 1_768_176_000_000;
    const HOUR_MS: i64 = 3_600_000;

    fn room(kind: RoomKind, number: u64) -> Room {
        Room::new(
            RoomIdentity {
                seed: 8,
                number,
                site: 0,
                kind,
                offset_minutes: 60,
            },
            MONDAY_MS,
        )
    }

    #[test]
    fn constant_people_reach_the_steady_state_of_the_balance() {
        let mut room = room(RoomKind::OpenOffice, 1);
        let source = balance::co2_source_ppm_per_hour(4.0, 0.0045, room.volume_m3());
        let outdoor = room
            .weather
            .outdoor(room.minute, LocalMinute::at(room.minute, 60));
        room.drive = room.drive_for(&outdoor, &Emission::default(), source, 21.0);
        let want = OUTDOOR_CO2_PPM + source / room.closed_per_hour;
        let got = room.projected(1000.0).co2_ppm;
        assert!((got - want).abs() < 1e-6, "{got} {want}");
    }

    #[test]
    fn a_minute_of_the_walk_is_a_minute_of_the_balance() {
        let mut room = room(RoomKind::OpenOffice, 1);
        for minute in 0..DAY_MINUTES {
            let end_ms = MONDAY_MS + (minute + 1) * MINUTE_MS;
            let (half, end) = (room.air_at(end_ms - MINUTE_MS / 2), room.air_at(end_ms));
            let before = room.air.co2_ppm;
            room.advance_to(end_ms);
            assert_eq!(room.air, end);
            assert!(
                (half.co2_ppm - f64::midpoint(before, end.co2_ppm)).abs() < 1.0,
                "{half:?} {end:?}"
            );
        }
    }

    #[test]
    fn an_open_window_lowers_co2_and_heat_faster() {
        let mut room = room(RoomKind::Classroom, 2);
        room.air = Air {
            co2_ppm: 1600.0,
            temperature_c: 21.0,
            ..room.air
        };
        let outdoor = room
            .weather
            .outdoor(room.minute, LocalMinute::at(room.minute, 60));
        let mut after_10_minutes = |open| {
            room.windows.open = open;
            room.drive = room.drive_for(&outdoor, &Emission::default(), 0.0, 16.0);
            room.projected(1.0 / 6.0)
        };
        let (closed, open) = (after_10_minutes(false), after_10_minutes(true));
        assert!(closed.co2_ppm > 1450.0, "{closed:?}");
        assert!(open.co2_ppm < 1020.0, "{open:?}");
        assert!(
            open.temperature_c < closed.temperature_c - 0.5,
            "{open:?} {closed:?}"
        );
    }

    #[test]
    fn people_do_open_windows_and_the_air_gets_better() {
        let (mut stuffy_before, mut opened) = (0.0, 0);
        let mut after = 0.0;
        for number in 0..20 {
            let mut room = room(RoomKind::Classroom, number);
            for minute in 0..5 * DAY_MINUTES {
                let was_open = room.windows.open;
                room.advance_to(MONDAY_MS + minute * MINUTE_MS);
                if !was_open && room.windows.open && room.air.co2_ppm > 900.0 {
                    opened += 1;
                    stuffy_before += room.air.co2_ppm;
                    let mut later = room.air;
                    for _ in 0..8 {
                        room.walk_to(room.minute + 1);
                        later = room.air;
                    }
                    after += later.co2_ppm;
                }
            }
        }
        assert!(opened > 50, "{opened}");
        let opened = f64::from(opened);
        assert!(after / opened < stuffy_before / opened - 150.0);
    }

    #[test]
    fn heating_holds_the_setpoint_in_winter() {
        let mut room = room(RoomKind::LivingRoom, 3);
        room.advance_to(MONDAY_MS + 17 * HOUR_MS);
        assert!(
            (18.5..23.0).contains(&room.air.temperature_c),
            "{:?}",
            room.air
        );
    }

    #[test]
    fn a_shower_wets_the_bathroom_and_it_dries_again() {
        let mut room = room(RoomKind::Bathroom, 4);
        let humidity: Vec<f64> = (0..1440)
            .map(|minute| {
                room.advance_to(MONDAY_MS + minute * MINUTE_MS);
                moisture::relative_humidity_pct(room.air.moisture_g_kg, room.air.temperature_c)
            })
            .collect();
        let peak = humidity.iter().copied().fold(0.0, f64::max);
        let low = humidity.iter().copied().fold(100.0, f64::min);
        assert!(peak > low + 15.0 && peak <= 98.5, "{low} {peak}");
    }

    #[test]
    fn cooking_raises_fine_dust_and_it_settles() {
        let mut room = room(RoomKind::Kitchen, 5);
        let dust: Vec<f64> = (0..1440)
            .map(|minute| {
                room.advance_to(MONDAY_MS + minute * MINUTE_MS);
                room.air.dust_ug_m3[0] + room.air.dust_ug_m3[1]
            })
            .collect();
        let peak = dust.iter().copied().fold(0.0, f64::max);
        assert!((30.0..400.0).contains(&peak), "{peak}");
        assert!(dust[240] < peak / 2.0, "{} {peak}", dust[240]);
    }

    #[test]
    fn a_leap_of_years_is_cheap_and_gives_plausible_air() {
        let mut room = room(RoomKind::Bedroom, 6);
        room.advance_to(MONDAY_MS + 30 * 365 * 24 * HOUR_MS);
        assert!(
            (400.0..4000.0).contains(&room.air.co2_ppm),
            "{:?}",
            room.air
        );
    }
}
