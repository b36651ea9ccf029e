/** Where each room stands when nobody drew a plan: a grid per site, sites side by side. */

import type { RoomKey } from "../live/room-state";

export const ROOM_WIDTH_M = 5;
export const ROOM_DEPTH_M = 4;
export const ROOM_HEIGHT_M = 2.6;
const WALL_GAP_M = 0.5;
const SITE_MARGIN_M = 1;
const SITE_GAP_M = 4;

export interface RoomPlace {
  key: RoomKey;
  /** Centre of the floor. */
  xM: number;
  zM: number;
}

export interface SitePlace {
  name: string;
  xM: number;
  zM: number;
  widthM: number;
  depthM: number;
}

export interface BuildingLayout {
  rooms: readonly RoomPlace[];
  sites: readonly SitePlace[];
  widthM: number;
  depthM: number;
}

export interface RoomOfSite {
  key: RoomKey;
  site: string;
}

/** The same rooms in the same order always stand in the same places, centred on the origin. */
export function layOut(rooms: readonly RoomOfSite[]): BuildingLayout {
  const grids = siteGrids(rooms);
  const rowWidthM = Math.max(0, ...grids.map(({ widthM }) => widthM), targetRowWidthM(grids));

  const sites: SitePlace[] = [];
  const places: RoomPlace[] = [];
  let leftM = 0;
  let frontM = 0;
  let rowDepthM = 0;
  let widthM = 0;
  for (const grid of grids) {
    if (leftM > 0 && leftM + grid.widthM > rowWidthM) {
      frontM += rowDepthM + SITE_GAP_M;
      leftM = 0;
      rowDepthM = 0;
    }
    const { name, widthM: siteWidthM, depthM: siteDepthM } = grid;
    sites.push({
      name,
      xM: leftM + siteWidthM / 2,
      zM: frontM + siteDepthM / 2,
      widthM: siteWidthM,
      depthM: siteDepthM,
    });
    grid.keys.forEach((key, index) => {
      places.push({
        key,
        xM: leftM + SITE_MARGIN_M + ROOM_WIDTH_M / 2 + (index % grid.columns) * (ROOM_WIDTH_M + WALL_GAP_M),
        zM:
          frontM +
          SITE_MARGIN_M +
          ROOM_DEPTH_M / 2 +
          Math.floor(index / grid.columns) * (ROOM_DEPTH_M + WALL_GAP_M),
      });
    });
    widthM = Math.max(widthM, leftM + siteWidthM);
    leftM += siteWidthM + SITE_GAP_M;
    rowDepthM = Math.max(rowDepthM, siteDepthM);
  }
  const depthM = frontM + rowDepthM;

  const centred = <Place extends { xM: number; zM: number }>(place: Place): Place => ({
    ...place,
    xM: place.xM - widthM / 2,
    zM: place.zM - depthM / 2,
  });
  return { rooms: places.map(centred), sites: sites.map(centred), widthM, depthM };
}

interface SiteGrid {
  name: string;
  keys: RoomKey[];
  columns: number;
  widthM: number;
  depthM: number;
}

function siteGrids(rooms: readonly RoomOfSite[]): SiteGrid[] {
  const keysOfSite = new Map<string, RoomKey[]>();
  for (const { key, site } of rooms) {
    const keys = keysOfSite.get(site) ?? [];
    keys.push(key);
    keysOfSite.set(site, keys);
  }
  return [...keysOfSite].map(([name, keys]) => {
    const columns = Math.ceil(Math.sqrt(keys.length));
    const rows = Math.ceil(keys.length / columns);
    return {
      name,
      keys,
      columns,
      widthM: columns * (ROOM_WIDTH_M + WALL_GAP_M) - WALL_GAP_M + 2 * SITE_MARGIN_M,
      depthM: rows * (ROOM_DEPTH_M + WALL_GAP_M) - WALL_GAP_M + 2 * SITE_MARGIN_M,
    };
  });
}

/** Sites wrap to a new row so that the whole is wider than deep, as the view of it is. */
function targetRowWidthM(grids: readonly SiteGrid[]): number {
  const areaM2 = grids.reduce(
    (sum, { widthM, depthM }) => sum + (widthM + SITE_GAP_M) * (depthM + SITE_GAP_M),
    0,
  );
  return 1.8 * Math.sqrt(areaM2);
}
