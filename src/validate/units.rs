//! Units a sender may declare, and how they become the stored ones.
//!
//! Names follow SenML (RFC 8428, RFC 8798) where it has one, plus those devices really send. Case
//! does not matter.

use crate::domain::Quantity;
use crate::score::TVOC_MICROGRAMS_PER_PPB;

/// A linear way from a declared unit to the stored one.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Unit {
    factor: f64,
    offset: f64,
}

impl Unit {
    const SAME: Self = Self::times(1.0);

    const fn times(factor: f64) -> Self {
        Self {
            factor,
            offset: 0.0,
        }
    }

    pub(super) fn convert(self, number: f64) -> f64 {
        number * self.factor + self.offset
    }

    /// The unit called `name`, for a quantity that can have it.
    pub(super) fn of(quantity: Quantity, name: &str) -> Option<Self> {
        table(quantity)
            .iter()
            .find(|(names, _)| names.iter().any(|known| same_name(known, name)))
            .map(|(_, unit)| *unit)
    }
}

/// The names a quantity's unit may have, for an error message.
pub(super) fn names(quantity: Quantity) -> String {
    let names: Vec<_> = table(quantity)
        .iter()
        .filter_map(|(names, _)| names.first())
        .collect();
    names.into_iter().copied().collect::<Vec<_>>().join(", ")
}

fn same_name(known: &str, name: &str) -> bool {
    known.eq_ignore_ascii_case(name)
}

type Table = &'static [(&'static [&'static str], Unit)];

const MICROGRAMS: &[&str] = &["ug/m3", "µg/m3", "μg/m3", "µg/m³", "μg/m³", "ug/m³", "ugm3"];
const MILLIGRAMS: &[&str] = &["mg/m3", "mg/m³"];
const PPB: &[&str] = &["ppb"];
const PPM: &[&str] = &["ppm"];

/// ppb per µg/m³ at 25 °C and 1 atm is 24.45 / molar mass in g/mol.
const MOLAR_VOLUME: f64 = 24.45;
const NO2_MOLAR_MASS: f64 = 46.0;
const O3_MOLAR_MASS: f64 = 48.0;
const HCHO_MOLAR_MASS: f64 = 30.03;
const CO_MOLAR_MASS: f64 = 28.01;

/// Units of a gas stored in ppb.
const fn gas(ppb_per_microgram: f64) -> [(&'static [&'static str], Unit); 4] {
    [
        (PPB, Unit::SAME),
        (PPM, Unit::times(1000.0)),
        (MICROGRAMS, Unit::times(ppb_per_microgram)),
        (MILLIGRAMS, Unit::times(1000.0 * ppb_per_microgram)),
    ]
}

static TVOC: [(&[&str], Unit); 4] = gas(1.0 / TVOC_MICROGRAMS_PER_PPB);
static NO2: [(&[&str], Unit); 4] = gas(MOLAR_VOLUME / NO2_MOLAR_MASS);
static O3: [(&[&str], Unit); 4] = gas(MOLAR_VOLUME / O3_MOLAR_MASS);
static HCHO: [(&[&str], Unit); 4] = gas(MOLAR_VOLUME / HCHO_MOLAR_MASS);

#[expect(clippy::too_many_lines, reason = "a table, not a procedure")]
fn table(quantity: Quantity) -> Table {
    match quantity {
        Quantity::Co2 => {
            const {
                &[
                    (PPM, Unit::SAME),
                    (PPB, Unit::times(0.001)),
                    (&["%", "vol%"], Unit::times(10_000.0)),
                    (&["/"], Unit::times(1_000_000.0)),
                ]
            }
        }
        Quantity::Pm25 | Quantity::Pm10 | Quantity::Pm1 => {
            const {
                &[
                    (MICROGRAMS, Unit::SAME),
                    (MILLIGRAMS, Unit::times(1000.0)),
                    (&["kg/m3"], Unit::times(1_000_000_000.0)),
                ]
            }
        }
        Quantity::Tvoc => &TVOC,
        Quantity::No2 => &NO2,
        Quantity::O3 => &O3,
        Quantity::Hcho => &HCHO,
        Quantity::Co => {
            const {
                &[
                    (PPM, Unit::SAME),
                    (PPB, Unit::times(0.001)),
                    (MILLIGRAMS, Unit::times(MOLAR_VOLUME / CO_MOLAR_MASS)),
                    (
                        MICROGRAMS,
                        Unit::times(0.001 * MOLAR_VOLUME / CO_MOLAR_MASS),
                    ),
                ]
            }
        }
        Quantity::Temperature => {
            const {
                &[
                    (&["Cel", "C", "°C", "degC", "celsius"], Unit::SAME),
                    (
                        &["F", "°F", "degF", "fahrenheit"],
                        Unit {
                            factor: 5.0 / 9.0,
                            offset: -160.0 / 9.0,
                        },
                    ),
                    (
                        &["K", "kelvin"],
                        Unit {
                            factor: 1.0,
                            offset: -273.15,
                        },
                    ),
                ]
            }
        }
        Quantity::Humidity => {
            const {
                &[
                    (&["%RH", "%", "% RH"], Unit::SAME),
                    (&["/"], Unit::times(100.0)),
                ]
            }
        }
        Quantity::Radon => {
            const {
                &[
                    (&["Bq/m3", "Bq/m³"], Unit::SAME),
                    (&["pCi/L"], Unit::times(37.0)),
                ]
            }
        }
        Quantity::Pressure => {
            const {
                &[
                    (&["hPa", "mbar"], Unit::SAME),
                    (&["Pa"], Unit::times(0.01)),
                    (&["kPa"], Unit::times(10.0)),
                    (&["bar"], Unit::times(1000.0)),
                    (&["mmHg"], Unit::times(1.333_223_9)),
                    (&["inHg"], Unit::times(33.863_89)),
                ]
            }
        }
        Quantity::VocIndex | Quantity::NoxIndex => const { &[(&["index", "1"], Unit::SAME)] },
        Quantity::Noise => const { &[(&["dBA", "dB(A)", "dB"], Unit::SAME)] },
        Quantity::Light => const { &[(&["lx", "lux"], Unit::SAME)] },
        Quantity::Occupants => const { &[(&["count", "persons", "1"], Unit::SAME)] },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case(Quantity::Temperature, "F", 72.14, 22.3)]
    #[case(Quantity::Temperature, "K", 295.45, 22.3)]
    #[case(Quantity::Temperature, "cel", 22.3, 22.3)]
    #[case(Quantity::Tvoc, "mg/m3", 0.2, 44.44)]
    #[case(Quantity::Tvoc, "µg/m³", 200.0, 44.44)]
    #[case(Quantity::Tvoc, "ppm", 0.04, 40.0)]
    #[case(Quantity::Co2, "%", 0.0645, 645.0)]
    #[case(Quantity::No2, "ug/m3", 100.0, 53.15)]
    #[case(Quantity::Hcho, "ug/m3", 100.0, 81.42)]
    #[case(Quantity::Co, "mg/m3", 10.0, 8.73)]
    #[case(Quantity::Humidity, "/", 0.45, 45.0)]
    #[case(Quantity::Pressure, "Pa", 101_325.0, 1013.25)]
    #[case(Quantity::Pressure, "inHg", 29.92, 1013.2)]
    #[case(Quantity::Radon, "pCi/L", 4.0, 148.0)]
    #[case(Quantity::Pm25, "mg/m3", 0.012, 12.0)]
    fn declared_units_become_the_stored_ones(
        #[case] quantity: Quantity,
        #[case] name: &str,
        #[case] sent: f64,
        #[case] stored: f64,
    ) {
        let got = Unit::of(quantity, name).unwrap().convert(sent);
        assert!(
            (got - stored).abs() < 0.01 * stored.abs().max(1.0) / 2.0,
            "{got}"
        );
    }

    #[test]
    fn a_unit_of_another_quantity_is_unknown() {
        assert_eq!(Unit::of(Quantity::Temperature, "ppm"), None);
        assert_eq!(Unit::of(Quantity::Co2, ""), None);
        for quantity in Quantity::ALL {
            assert!(!names(quantity).is_empty());
        }
    }
}
