//! A room's day: who is there when, and what they do.
//!
//! A plan depends on the room, the calendar day and the seed alone, so every path through time
//! meets the same day.

use super::emission::{self, Emission};
use super::kind::RoomKind;
use super::random::Random;
use super::time::{LocalMinute, Weekday};

const END_OF_DAY: u32 = 1440;

/// People in a room at one minute.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Presence {
    pub(super) awake: u32,
    pub(super) asleep: u32,
}

impl Presence {
    pub(super) fn people(self) -> u32 {
        self.awake + self.asleep
    }
}

/// What is done in a room beside being there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Activity {
    Cooking,
    Shower,
    Cleaning,
    Machining,
    /// Somebody opens the windows out of habit.
    Airing,
}

#[derive(Debug, Clone, Copy)]
struct Stay {
    start: u32,
    end: u32,
    presence: Presence,
}

#[derive(Debug, Clone, Copy)]
struct Event {
    start: u32,
    end: u32,
    activity: Activity,
    strength: f64,
}

/// One day of one room; times are local minutes of the day, ends excluded.
#[derive(Debug, Default)]
pub(super) struct DayPlan {
    stays: Vec<Stay>,
    events: Vec<Event>,
    people_max: u32,
}

impl DayPlan {
    /// Plan of the day that holds `local`, for a room that `people_max` people use.
    pub(super) fn new(
        kind: RoomKind,
        people_max: u32,
        local: LocalMinute,
        random: &mut Random,
    ) -> Self {
        let mut plan = Self {
            people_max,
            ..Self::default()
        };
        let weekday = local.weekday();
        if kind.is_workplace() && weekday.is_weekend() {
            return plan;
        }
        match kind {
            RoomKind::OpenOffice => plan.office(weekday, random),
            RoomKind::MeetingRoom => plan.meetings(random),
            RoomKind::Classroom => plan.lessons(kind.is_half_day(weekday), random),
            RoomKind::Workshop => plan.workshop(random),
            RoomKind::Study => plan.study(weekday, random),
            RoomKind::Kitchen => plan.kitchen(weekday, random),
            RoomKind::Bedroom => plan.bedroom(weekday, random),
            RoomKind::LivingRoom => plan.living_room(weekday, random),
            RoomKind::Bathroom => plan.bathroom(weekday, random),
        }
        plan
    }

    /// People present, never more than use the room.
    pub(super) fn presence(&self, minute_of_day: u32) -> Presence {
        let mut sum = Presence::default();
        for stay in self
            .stays
            .iter()
            .filter(|stay| (stay.start..stay.end).contains(&minute_of_day))
        {
            sum.awake += stay.presence.awake;
            sum.asleep += stay.presence.asleep;
        }
        sum.asleep = sum.asleep.min(self.people_max);
        sum.awake = sum.awake.min(self.people_max - sum.asleep);
        sum
    }

    /// What the activities of this minute give off.
    pub(super) fn emission(&self, minute_of_day: u32) -> Emission {
        let mut sum = Emission::default();
        for event in self.events_at(minute_of_day) {
            let rates = match event.activity {
                Activity::Cooking => &emission::COOKING,
                Activity::Shower => &emission::SHOWER,
                Activity::Cleaning => &emission::CLEANING,
                Activity::Machining => &emission::MACHINING,
                Activity::Airing => continue,
            };
            sum.add(event.strength, rates);
        }
        sum
    }

    /// Whether somebody airs the room at this minute whatever the air is like.
    pub(super) fn is_airing(&self, minute_of_day: u32) -> bool {
        self.events_at(minute_of_day)
            .any(|event| event.activity == Activity::Airing)
    }

    fn events_at(&self, minute_of_day: u32) -> impl Iterator<Item = &Event> {
        self.events
            .iter()
            .filter(move |event| (event.start..event.end).contains(&minute_of_day))
    }

    fn awake(&mut self, start: u32, end: u32, people: u32) {
        let presence = Presence {
            awake: people,
            asleep: 0,
        };
        self.stays.push(Stay {
            start,
            end: end.min(END_OF_DAY),
            presence,
        });
    }

    fn asleep(&mut self, start: u32, end: u32, people: u32) {
        let presence = Presence {
            awake: 0,
            asleep: people,
        };
        self.stays.push(Stay {
            start,
            end: end.min(END_OF_DAY),
            presence,
        });
    }

    fn event(&mut self, activity: Activity, start: u32, minutes: u32, strength: f64) {
        let end = (start + minutes).min(END_OF_DAY);
        self.events.push(Event {
            start,
            end,
            activity,
            strength,
        });
    }

    fn cleaning(&mut self, start: u32, random: &mut Random) {
        let minutes = random.whole(12, 25);
        self.awake(start, start + minutes, 1);
        self.event(Activity::Cleaning, start, minutes, random.between(0.3, 1.0));
    }

    fn office(&mut self, weekday: Weekday, random: &mut Random) {
        let attendance = if weekday == Weekday::Friday {
            0.55
        } else {
            0.8
        };
        for _ in 0..self.people_max {
            // Drawn for the absent too, so that one absence leaves the others' hours alone.
            let comes = random.chance(attendance);
            let arrival = random.minute(530.0, 25.0);
            let lunch = random.minute(738.0, 12.0);
            let lunch_minutes = random.whole(35, 70);
            let departure = random.minute(1065.0, 40.0);
            if comes {
                self.awake(arrival, lunch, 1);
                self.awake(lunch + lunch_minutes, departure, 1);
            }
        }
        if random.chance(0.8) {
            self.cleaning(random.minute(1150.0, 10.0), random);
        }
    }

    fn meetings(&mut self, random: &mut Random) {
        let mut start = 540;
        while start < 1065 {
            let lunch = (720..820).contains(&start);
            if lunch || random.chance(0.4) {
                start += 30;
                continue;
            }
            let minutes = 15 * random.whole(2, 6);
            let people = random.whole(2, self.people_max);
            self.awake(start, start + minutes, people);
            start += minutes + 5 * random.whole(0, 3);
        }
    }

    fn lessons(&mut self, half_day: bool, random: &mut Random) {
        let present = random.whole(self.people_max * 85 / 100, self.people_max);
        for (start, end) in [(510, 615), (630, 720), (810, 900), (915, 990)] {
            if half_day && start > 720 {
                break;
            }
            self.awake(start, end, present);
            if random.chance(0.4) {
                self.event(Activity::Airing, end, random.whole(8, 14), 1.0);
            }
        }
        if random.chance(0.5) {
            self.cleaning(random.minute(1020.0, 8.0), random);
        }
    }

    fn workshop(&mut self, random: &mut Random) {
        let people = random.whole(1, self.people_max);
        self.awake(random.minute(480.0, 8.0), 720, people);
        self.awake(780, random.minute(1015.0, 10.0), people);
        for _ in 0..random.whole(2, 5) {
            let start = random.whole(495, 960);
            let minutes = random.whole(10, 40);
            self.event(
                Activity::Machining,
                start,
                minutes,
                random.between(0.3, 1.2),
            );
        }
        if random.chance(0.6) {
            self.event(Activity::Cleaning, 995, random.whole(8, 15), 0.4);
        }
    }

    fn study(&mut self, weekday: Weekday, random: &mut Random) {
        let home = random.chance(0.65);
        if home && !weekday.is_weekend() {
            self.awake(random.minute(535.0, 20.0), random.minute(745.0, 12.0), 1);
            self.awake(random.minute(820.0, 12.0), random.minute(1060.0, 30.0), 1);
        }
        if random.chance(0.35) {
            self.awake(random.minute(1215.0, 20.0), random.minute(1310.0, 25.0), 1);
        }
    }

    fn kitchen(&mut self, weekday: Weekday, random: &mut Random) {
        let weekend = weekday.is_weekend();
        let breakfast = random.minute(if weekend { 540.0 } else { 425.0 }, 15.0);
        self.awake(
            breakfast,
            breakfast + random.whole(20, 40),
            random.whole(1, self.people_max),
        );
        self.event(Activity::Cooking, breakfast, 10, random.between(0.1, 0.35));
        if weekend || random.chance(0.3) {
            self.meal(random.minute(715.0, 15.0), random);
        }
        self.meal(random.minute(1130.0, 25.0), random);
        if random.chance(0.35) {
            self.cleaning(random.minute(1235.0, 15.0), random);
        }
    }

    fn meal(&mut self, start: u32, random: &mut Random) {
        let cooking_minutes = random.whole(18, 45);
        let eating_minutes = random.whole(25, 40);
        let table = start + cooking_minutes;
        self.event(
            Activity::Cooking,
            start,
            cooking_minutes,
            random.between(0.3, 1.5),
        );
        self.awake(start, table, 1);
        self.awake(
            table,
            table + eating_minutes,
            random.whole(2, self.people_max),
        );
    }

    fn bedroom(&mut self, weekday: Weekday, random: &mut Random) {
        let wake = random.minute(if weekday.is_weekend() { 510.0 } else { 415.0 }, 15.0);
        let bed = random.minute(1372.0, 18.0);
        self.asleep(0, wake, self.people_max);
        self.awake(wake, wake + random.whole(8, 20), self.people_max);
        self.awake(bed - 20, bed, self.people_max);
        self.asleep(bed, END_OF_DAY, self.people_max);
        if random.chance(0.6) {
            self.event(Activity::Airing, wake + 10, random.whole(6, 15), 1.0);
        }
        if weekday == Weekday::Saturday && random.chance(0.6) {
            self.cleaning(random.minute(640.0, 20.0), random);
        }
    }

    fn living_room(&mut self, weekday: Weekday, random: &mut Random) {
        if weekday.is_weekend() {
            let people = random.whole(1, self.people_max);
            self.awake(
                random.minute(580.0, 25.0),
                random.minute(700.0, 15.0),
                people,
            );
            if random.chance(0.7) {
                let people = random.whole(1, self.people_max);
                self.awake(
                    random.minute(850.0, 20.0),
                    random.minute(1080.0, 40.0),
                    people,
                );
            }
        }
        let people = random.whole(1, self.people_max);
        self.awake(
            random.minute(1190.0, 25.0),
            random.minute(1350.0, 15.0),
            people,
        );
        if weekday == Weekday::Saturday && random.chance(0.7) {
            self.cleaning(random.minute(660.0, 20.0), random);
        }
    }

    fn bathroom(&mut self, weekday: Weekday, random: &mut Random) {
        let morning = if weekday.is_weekend() { 540.0 } else { 425.0 };
        for _ in 0..self.people_max {
            let mean = if random.chance(0.65) { morning } else { 1290.0 };
            let start = random.minute(mean, 22.0);
            let minutes = random.whole(5, 11);
            self.awake(start, start + minutes + 8, 1);
            self.event(Activity::Shower, start, minutes, random.between(0.7, 1.1));
            for visit in [460.0, 780.0, 1130.0, 1345.0] {
                let start = random.minute(visit, 40.0);
                self.awake(start, start + random.whole(3, 7), 1);
            }
        }
        if weekday == Weekday::Saturday {
            self.cleaning(random.minute(690.0, 20.0), random);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simulate::random::Purpose;

    const MONDAY: i64 = 4;
    const WEDNESDAY: i64 = 6;
    const SATURDAY: i64 = 2;

    fn plan(kind: RoomKind, people_max: u32, day: i64, seed: u64) -> DayPlan {
        let mut random = Random::new(seed, 0, Purpose::DayPlan, day);
        DayPlan::new(
            kind,
            people_max,
            LocalMinute {
                day,
                minute_of_day: 0,
            },
            &mut random,
        )
    }

    fn person_minutes(plan: &DayPlan, minutes: std::ops::Range<u32>) -> u32 {
        minutes.map(|minute| plan.presence(minute).people()).sum()
    }

    #[test]
    fn workplaces_are_empty_at_night_and_on_weekends() {
        for kind in [
            RoomKind::OpenOffice,
            RoomKind::MeetingRoom,
            RoomKind::Classroom,
            RoomKind::Workshop,
        ] {
            for seed in 0..50 {
                let workday = plan(kind, 8, MONDAY, seed);
                assert_eq!(person_minutes(&workday, 0..360), 0, "{kind:?}");
                assert_eq!(
                    person_minutes(&plan(kind, 8, SATURDAY, seed), 0..1440),
                    0,
                    "{kind:?}"
                );
            }
            let used: u32 = (0..50)
                .map(|seed| person_minutes(&plan(kind, 8, MONDAY, seed), 480..1080))
                .sum();
            assert!(used > 50 * 200, "{kind:?} {used}");
        }
    }

    #[test]
    fn schools_are_free_on_wednesday_afternoons() {
        let plan = plan(RoomKind::Classroom, 20, WEDNESDAY, 1);
        assert!(person_minutes(&plan, 540..600) > 0);
        assert_eq!(person_minutes(&plan, 800..1000), 0);
    }

    #[test]
    fn bedrooms_hold_the_same_sleepers_on_both_sides_of_midnight() {
        for seed in 0..50 {
            let (before, after) = (
                plan(RoomKind::Bedroom, 2, MONDAY, seed),
                plan(RoomKind::Bedroom, 2, MONDAY + 1, seed),
            );
            let sleepers = Presence {
                awake: 0,
                asleep: 2,
            };
            assert_eq!(
                (before.presence(1439), after.presence(0)),
                (sleepers, sleepers)
            );
            assert_eq!(after.presence(900).people(), 0);
        }
    }

    #[test]
    fn no_plan_exceeds_the_people_of_the_room() {
        for kind in [
            RoomKind::Bathroom,
            RoomKind::Kitchen,
            RoomKind::OpenOffice,
            RoomKind::Bedroom,
        ] {
            for seed in 0..30 {
                let plan = plan(kind, 2, MONDAY, seed);
                assert!(
                    (0..1440).all(|minute| plan.presence(minute).people() <= 2),
                    "{kind:?}"
                );
            }
        }
    }

    #[test]
    fn dinner_is_cooked_and_showers_are_wet() {
        let kitchen = plan(RoomKind::Kitchen, 3, MONDAY, 5);
        assert!((1050..1300).any(|minute| kitchen.emission(minute).dust_ug_h[0] > 1000.0));
        assert_eq!(kitchen.emission(180), Emission::default());
        let bathroom = plan(RoomKind::Bathroom, 3, MONDAY, 5);
        assert!((0..1440).any(|minute| bathroom.emission(minute).moisture_g_h > 1000.0));
    }
}
