//! Water vapour in air: Magnus with the coefficients of Alduchov and Eskridge, at 1013.25 hPa.

const PRESSURE_PA: f64 = 101_325.0;

/// Ratio of the molar masses of water and dry air, times 1000 g/kg.
const MOLAR_RATIO_G_KG: f64 = 621.945;

/// Saturation pressure over water, in Pa.
fn saturation_pa(temperature_c: f64) -> f64 {
    610.94 * (17.625 * temperature_c / (temperature_c + 243.04)).exp()
}

/// Grams of vapour per kilogram of dry air in saturated air.
pub(super) fn saturation_g_kg(temperature_c: f64) -> f64 {
    let pressure = saturation_pa(temperature_c);
    MOLAR_RATIO_G_KG * pressure / (PRESSURE_PA - pressure)
}

/// Relative humidity in % of air that holds `moisture_g_kg`; not limited to 100.
pub(super) fn relative_humidity_pct(moisture_g_kg: f64, temperature_c: f64) -> f64 {
    let pressure = moisture_g_kg * PRESSURE_PA / (MOLAR_RATIO_G_KG + moisture_g_kg);
    100.0 * pressure / saturation_pa(temperature_c)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn saturated_air_has_100_percent() {
        for temperature_c in [-10.0, 0.0, 21.0, 35.0] {
            let humidity = relative_humidity_pct(saturation_g_kg(temperature_c), temperature_c);
            assert!((humidity - 100.0).abs() < 1e-9, "{humidity}");
        }
    }

    #[test]
    fn air_at_its_dew_point_is_saturated() {
        // Magnus formula over water: 21 °C at 45 % has its dew point at 8.61 °C, 30 °C at 70 % at 23.93 °C.
        for (temperature_c, humidity_pct, dew_point_c) in [(21.0, 45.0, 8.61), (30.0, 70.0, 23.93)]
        {
            let got = relative_humidity_pct(saturation_g_kg(dew_point_c), temperature_c);
            assert!((got - humidity_pct).abs() < 0.05, "{got}");
        }
    }
}
