//! The exact step of a well-mixed balance, shared by every quantity of a room.
//!
//! With a constant source and a constant loss rate the balance `dC/dt = S − A·C` has the solution
//! `C(t) = C_ss + (C_0 − C_ss)·e^(−A·t)`, `C_ss = S/A`. It holds for any `t`, so a long step gives
//! the same value as many short ones.

/// Value after `hours` of a quantity that gains `gain_per_hour` and loses the fraction
/// `loss_per_hour` (at least 0) of itself per hour.
///
/// An exchange with air of concentration `c` at `a` air changes per hour enters as a gain of `a·c`
/// and a loss of `a`. Without loss the value grows linearly.
pub(super) fn after(initial: f64, gain_per_hour: f64, loss_per_hour: f64, hours: f64) -> f64 {
    let exponent = -loss_per_hour * hours;
    // `exp_m1` keeps its precision where the loss goes to 0 and the quotient to `hours`.
    let effective_hours = if exponent == 0.0 {
        hours
    } else {
        -exponent.exp_m1() / loss_per_hour
    };
    initial * exponent.exp() + gain_per_hour * effective_hours
}

/// CO2 that `people` breathe out into `volume_m3`, in ppm/h, each giving `litres_per_second`.
///
/// `3.6·10⁶ n G / V`: 3600 s/h, 10⁻³ m³/l and 10⁶ ppm.
pub(super) fn co2_source_ppm_per_hour(people: f64, litres_per_second: f64, volume_m3: f64) -> f64 {
    3.6e6 * people * litres_per_second / volume_m3
}

#[cfg(test)]
mod tests {
    use super::*;

    const OUTDOOR_PPM: f64 = 420.0;

    fn co2_after(initial: f64, source_ppm_h: f64, air_changes: f64, minutes: f64) -> f64 {
        let gain = source_ppm_h + air_changes * OUTDOOR_PPM;
        after(initial, gain, air_changes, minutes / 60.0)
    }

    fn close(got: f64, want: f64, tolerance: f64) {
        assert!((got - want).abs() <= tolerance, "got {got}, want {want}");
    }

    #[test]
    fn decay_matches_the_known_answers() {
        close(co2_after(1600.0, 0.0, 2.0, 15.0), 1135.7, 0.05);
        close(co2_after(1600.0, 0.0, 2.0, 30.0), 854.1, 0.05);
        close(co2_after(1600.0, 0.0, 2.0, 60.0), 579.7, 0.05);
    }

    #[test]
    fn build_up_matches_the_known_answers() {
        let source = co2_source_ppm_per_hour(4.0, 0.0045, 75.0);
        close(source, 864.0, 1e-9);
        close(co2_after(420.0, source, 1.0, 60.0), 966.2, 0.05);
        close(co2_after(420.0, source, 1.0, 60.0 * 100.0), 1284.0, 0.05);
        close(co2_after(420.0, source, 1.0, 66.8), 1000.0, 0.5);
    }

    #[test]
    fn one_long_step_equals_many_short_ones() {
        let mut value = 17.0;
        for _ in 0..3600 {
            value = after(value, 55.0, 0.7, 1.0 / 3600.0);
        }
        close(value, after(17.0, 55.0, 0.7, 1.0), 1e-9);
    }

    #[test]
    fn no_loss_grows_linearly_and_a_tiny_loss_nearly_so() {
        close(after(10.0, 4.0, 0.0, 3.0), 22.0, 0.0);
        close(after(10.0, 4.0, 1e-13, 3.0), 22.0, 1e-9);
    }
}
