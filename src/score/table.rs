//! The limits the continuous score goes through, and where each comes from.

use crate::domain::Quantity;

/// Sub-scores of the knots of every curve, from the best to the worst.
pub(super) const KNOT_SCORES: [f64; 6] = [100.0, 90.0, 70.0, 50.0, 30.0, 0.0];

/// µg/m³ per ppb at 25 °C and 1 atm: molar mass / 24.45.
const HCHO_MICROGRAMS_PER_PPB: f64 = 1.23;
const NO2_MICROGRAMS_PER_PPB: f64 = 1.88;
const O3_MICROGRAMS_PER_PPB: f64 = 1.96;

/// µg/m³ of TVOC per ppb for the mixture of Mølhave (110 g/mol). The equivalent gas matters more
/// than any weight; a sensor calibrated to another one should send µg/m³.
pub(crate) const TVOC_MICROGRAMS_PER_PPB: f64 = 4.5;

/// How one quantity is judged: a piecewise linear curve in a unit of its own.
#[derive(Debug)]
pub struct Standard {
    /// Unit of the knots and of the value an explanation shows.
    pub unit: &'static str,
    /// Knot unit per stored unit ([`Quantity::unit`]).
    pub(super) factor: f64,
    /// Averaging time of the published limits; a room's score averages over it.
    pub averaging_minutes: u32,
    /// Where the knots come from.
    pub source: &'static str,
    pub(super) curve: Curve,
}

#[derive(Debug)]
pub(super) enum Curve {
    /// Less is better. The knots rise; at or below the first the score is 100.
    Rising([f64; 6]),
    /// Best between the first knots of the two sides.
    Between { low: [f64; 6], high: [f64; 6] },
}

impl Standard {
    /// The value in the unit of this standard.
    pub fn convert(&self, stored: f64) -> f64 {
        stored * self.factor
    }

    /// Sub-score, 0 to 100, of a value in the stored unit.
    pub(super) fn score(&self, stored: f64) -> f64 {
        let value = self.convert(stored);
        match &self.curve {
            Curve::Rising(knots) => rising(knots, value),
            Curve::Between { low, high } => {
                // The low side is the high side seen in a mirror.
                rising(high, value).min(rising(&low.map(|knot| -knot), -value))
            }
        }
    }
}

fn rising(knots: &[f64; 6], value: f64) -> f64 {
    for (knot, score) in knots.windows(2).zip(KNOT_SCORES.windows(2)) {
        if value <= knot[0] {
            return score[0];
        }
        if value <= knot[1] {
            let share = (value - knot[0]) / (knot[1] - knot[0]);
            return score[0] + share * (score[1] - score[0]);
        }
    }
    0.0
}

/// The standard of a quantity; `None` when it takes no part in the score.
pub fn standard(quantity: Quantity) -> Option<&'static Standard> {
    Some(match quantity {
        Quantity::Co2 => &CO2,
        Quantity::Pm25 => &PM25,
        Quantity::Pm10 => &PM10,
        Quantity::Tvoc => &TVOC,
        Quantity::Hcho => &HCHO,
        Quantity::Co => &CO,
        Quantity::No2 => &NO2,
        Quantity::O3 => &O3,
        Quantity::Radon => &RADON,
        Quantity::Humidity => &HUMIDITY,
        Quantity::Temperature => &TEMPERATURE,
        // A VOC or NOx index re-centres itself on its own mean, so a room that is always bad would
        // read as good; PM1 has no published limit; the rest says nothing about the air.
        Quantity::Pm1
        | Quantity::Pressure
        | Quantity::VocIndex
        | Quantity::NoxIndex
        | Quantity::Noise
        | Quantity::Light
        | Quantity::Occupants => return None,
    })
}

static CO2: Standard = Standard {
    unit: "ppm",
    factor: 1.0,
    averaging_minutes: 10,
    source: "outdoor air 420; HCSP France and Hong Kong EPD 800; UBA 1000; HCSP 1500; UBA 2000; \
             8-hour occupational limit 2006/15/EC 5000",
    curve: Curve::Rising([420.0, 800.0, 1000.0, 1500.0, 2000.0, 5000.0]),
};

static PM25: Standard = Standard {
    unit: "µg/m³",
    factor: 1.0,
    averaging_minutes: 60,
    source: "WHO 2021 annual 5; US EPA 2024 Good 9; WHO 2021 24 h 15; US EPA Moderate 35.4; US EPA \
             Unhealthy for sensitive groups 55.4; US EPA Unhealthy 125.4",
    curve: Curve::Rising([5.0, 9.0, 15.0, 35.4, 55.4, 125.4]),
};

static PM10: Standard = Standard {
    unit: "µg/m³",
    factor: 1.0,
    averaging_minutes: 60,
    source: "WHO 2021 annual 15, interim target 4 20, 24 h 45, interim target 2 100; US EPA \
             Moderate 154; US EPA 354",
    curve: Curve::Rising([15.0, 20.0, 45.0, 100.0, 154.0, 354.0]),
};

static TVOC: Standard = Standard {
    unit: "µg/m³",
    factor: TVOC_MICROGRAMS_PER_PPB,
    averaging_minutes: 30,
    source: "LGL Bavaria 200 no complaints; UBA level 1 300; WELL and RESET 500; UBA level 2 1000; \
             UBA level 3 3000; UBA level 4 10000; 4.5 µg/m³ per ppb",
    curve: Curve::Rising([200.0, 300.0, 500.0, 1000.0, 3000.0, 10_000.0]),
};

static HCHO: Standard = Standard {
    unit: "µg/m³",
    factor: HCHO_MICROGRAMS_PER_PPB,
    averaging_minutes: 30,
    source: "ANSES long term 10; French guide value 30; WELL 50; WHO 2010 100; 0.1 ppm 120; 0.3 \
             ppm occupational 370",
    curve: Curve::Rising([10.0, 30.0, 50.0, 100.0, 120.0, 370.0]),
};

static CO: Standard = Standard {
    unit: "ppm",
    factor: 1.0,
    averaging_minutes: 60,
    source: "background 1; WHO 2021 24 h 3.5; US EPA Good 4.4; WHO 8 h 8.7; WHO 1 h 30; WHO 15 \
             min 87",
    curve: Curve::Rising([1.0, 3.5, 4.4, 8.7, 30.0, 87.0]),
};

static NO2: Standard = Standard {
    unit: "µg/m³",
    factor: NO2_MICROGRAMS_PER_PPB,
    averaging_minutes: 60,
    source: "WHO 2021 annual 10, 24 h 25, interim target 1 40; US EPA Good 100; WHO 1 h 200; US \
             EPA Unhealthy for sensitive groups 680",
    curve: Curve::Rising([10.0, 25.0, 40.0, 100.0, 200.0, 680.0]),
};

static O3: Standard = Standard {
    unit: "µg/m³",
    factor: O3_MICROGRAMS_PER_PPB,
    averaging_minutes: 60,
    source: "WHO 2021 peak season 60, interim target 2 70, 8 h 100, interim target 2 120, interim \
             target 1 160; EU alert threshold 240",
    curve: Curve::Rising([60.0, 70.0, 100.0, 120.0, 160.0, 240.0]),
};

static RADON: Standard = Standard {
    unit: "Bq/m³",
    factor: 1.0,
    averaging_minutes: 24 * 60,
    source: "half of WHO 50; WHO 2009 100; US EPA 148; EU 2013/59 300; French alert 1000; 3000 is \
             a choice of this product",
    curve: Curve::Rising([50.0, 100.0, 150.0, 300.0, 1000.0, 3000.0]),
};

static HUMIDITY: Standard = Standard {
    unit: "% RH",
    factor: 1.0,
    averaging_minutes: 10,
    source: "EN 16798-1 categories I 30-50, II 25-60, III 20-70; 40-50 kept as the optimum of \
             earlier deployments; mould growth 80",
    curve: Curve::Between {
        low: [40.0, 35.0, 30.0, 20.0, 15.0, 5.0],
        high: [50.0, 55.0, 60.0, 70.0, 80.0, 95.0],
    },
};

static TEMPERATURE: Standard = Standard {
    unit: "°C",
    factor: 1.0,
    averaging_minutes: 10,
    source: "EN 16798-1 heating II 20, III 19, cooling I 25.5, II 26, IV 28; WHO housing 2018 18",
    curve: Curve::Between {
        low: [20.0, 19.0, 18.0, 16.0, 14.0, 10.0],
        high: [24.0, 25.0, 26.0, 28.0, 30.0, 35.0],
    },
};
