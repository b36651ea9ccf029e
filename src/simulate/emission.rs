//! What people and their activities give off.

/// Rates of release into a room.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Emission {
    /// Particles below 1 µm, from 1 to 2.5 µm and from 2.5 to 10 µm, in µg/h.
    pub(super) dust_ug_h: [f64; 3],
    /// Volatile organic compounds, in ppb of one m³ per hour.
    pub(super) tvoc_ppb_m3_h: f64,
    /// Water vapour, in g/h.
    pub(super) moisture_g_h: f64,
    /// Heat that warms the air, in W.
    pub(super) heat_w: f64,
}

/// A person awake: skin and breath, and dust stirred up by walking about.
pub(super) const AWAKE: Emission = Emission {
    dust_ug_h: [20.0, 50.0, 600.0],
    tvoc_ppb_m3_h: 1300.0,
    moisture_g_h: 50.0,
    heat_w: 75.0,
};

/// A person asleep.
pub(super) const ASLEEP: Emission = Emission {
    dust_ug_h: [3.0, 6.0, 50.0],
    tvoc_ppb_m3_h: 1000.0,
    moisture_g_h: 40.0,
    heat_w: 70.0,
};

/// Frying and boiling under a weak hood.
pub(super) const COOKING: Emission = Emission {
    dust_ug_h: [6000.0, 2000.0, 1500.0],
    tvoc_ppb_m3_h: 15_000.0,
    moisture_g_h: 900.0,
    heat_w: 500.0,
};

/// A hot shower.
pub(super) const SHOWER: Emission = Emission {
    dust_ug_h: [0.0, 0.0, 0.0],
    tvoc_ppb_m3_h: 6000.0,
    moisture_g_h: 2000.0,
    heat_w: 200.0,
};

/// Wiping with a scented product, and sweeping.
pub(super) const CLEANING: Emission = Emission {
    dust_ug_h: [200.0, 600.0, 4000.0],
    tvoc_ppb_m3_h: 60_000.0,
    moisture_g_h: 100.0,
    heat_w: 0.0,
};

/// Sawing, sanding and gluing.
pub(super) const MACHINING: Emission = Emission {
    dust_ug_h: [3000.0, 5000.0, 30_000.0],
    tvoc_ppb_m3_h: 20_000.0,
    moisture_g_h: 0.0,
    heat_w: 400.0,
};

impl Emission {
    /// Adds `amount` times another emission.
    pub(super) fn add(&mut self, amount: f64, other: &Self) {
        for (total, part) in self.dust_ug_h.iter_mut().zip(other.dust_ug_h) {
            *total += amount * part;
        }
        self.tvoc_ppb_m3_h += amount * other.tvoc_ppb_m3_h;
        self.moisture_g_h += amount * other.moisture_g_h;
        self.heat_w += amount * other.heat_w;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_add_up_in_every_field() {
        let mut total = Emission::default();
        total.add(2.0, &COOKING);
        total.add(1.0, &AWAKE);
        let want = Emission {
            dust_ug_h: [12_020.0, 4050.0, 3600.0],
            tvoc_ppb_m3_h: 31_300.0,
            moisture_g_h: 1850.0,
            heat_w: 1075.0,
        };
        assert_eq!(total, want);
    }
}
