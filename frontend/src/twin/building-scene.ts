/** The building in 3D: one box per room, drawn only when something changed. */

import {
  AmbientLight,
  BoxGeometry,
  BufferGeometry,
  Color,
  DirectionalLight,
  EdgesGeometry,
  InstancedMesh,
  LineBasicMaterial,
  LineSegments,
  Matrix4,
  Mesh,
  MeshLambertMaterial,
  PerspectiveCamera,
  Raycaster,
  Scene,
  Vector2,
  Vector3,
  WebGLRenderer,
} from "three";
import { OrbitControls } from "three/addons/controls/OrbitControls.js";
import { mergeGeometries } from "three/addons/utils/BufferGeometryUtils.js";
import { LEVEL_MARKS, LEVELS, type Level } from "../domain/levels";
import { type FrameBatch, frameBatch } from "../live/frame-batch";
import type { RoomKey } from "../live/room-state";
import { type BuildingLayout, layOut, ROOM_DEPTH_M, ROOM_HEIGHT_M, ROOM_WIDTH_M } from "./building-layout";
import { RoomLabels } from "./room-labels";

const FIELD_OF_VIEW_DEG = 30;
/** From in front, a little to the right, and well above. */
const VIEW_DIRECTION = new Vector3(0.14, 0.8, 0.6).normalize();
const VIEW_DISTANCE_MIN_M = 25;
const VIEW_DISTANCE_STEP = 1.05;
/** The share of the view the building may fill. */
const VIEW_FILL = 0.92;
const PIXEL_RATIO_MAX = 2;
/** A press that moves further turns the view and picks nothing. */
const CLICK_MOVE_MAX_PX = 5;
/** How far the colour of a silent room fades to grey. */
const STALE_FADE = 0.7;

export interface SceneRoom {
  key: RoomKey;
  site: string;
  name: string;
  level: Level | null;
  score: number | null;
  stale: boolean;
}

export interface SceneEvents {
  onPick(key: RoomKey): void;
  onContextLost(): void;
  onContextRestored(): void;
}

export class BuildingScene {
  private readonly renderer: WebGLRenderer;
  private readonly scene = new Scene();
  private readonly camera = new PerspectiveCamera(FIELD_OF_VIEW_DEG, 1, 1, 10_000);
  private readonly controls: OrbitControls;
  private readonly labels: RoomLabels;
  private readonly draw: FrameBatch = frameBatch(() => this.drawNow());
  private readonly resizes = new ResizeObserver(() => this.resize());
  private readonly darkScheme = matchMedia("(prefers-color-scheme: dark)");
  private readonly boxMaterial = new MeshLambertMaterial();
  private readonly floorMaterial = new MeshLambertMaterial();
  private readonly edgeMaterial = new LineBasicMaterial();
  private readonly selectionMaterial = new LineBasicMaterial();
  private readonly boxGeometry = new BoxGeometry(ROOM_WIDTH_M, ROOM_HEIGHT_M, ROOM_DEPTH_M);
  private levelColours = new Map<Level | null, Color>();
  private rooms: readonly SceneRoom[] = [];
  private layout: BuildingLayout = layOut([]);
  private arrangement = "";
  private boxes: InstancedMesh | undefined;
  private paintedColours: Color[] = [];
  private selection: LineSegments | undefined;
  private selectedKey: RoomKey | undefined;
  private pressedAt: Vector2 | undefined;

  /** Throws when the browser has no WebGL. */
  constructor(
    private readonly host: HTMLElement,
    canvas: HTMLCanvasElement,
    labelLayer: HTMLElement,
    private readonly events: SceneEvents,
  ) {
    this.renderer = new WebGLRenderer({ canvas, antialias: true, alpha: true });
    this.renderer.setPixelRatio(Math.min(devicePixelRatio, PIXEL_RATIO_MAX));
    this.labels = new RoomLabels(labelLayer);
    const sun = new DirectionalLight(0xffffff, 1.6);
    sun.position.set(-3, 6, 4);
    this.scene.add(new AmbientLight(0xffffff, 1.9), sun);

    this.controls = new OrbitControls(this.camera, canvas);
    this.controls.maxPolarAngle = Math.PI / 2.1;
    this.controls.addEventListener("change", () => this.draw.request());

    canvas.addEventListener("pointerdown", this.handlePress);
    canvas.addEventListener("pointerup", this.handleRelease);
    canvas.addEventListener("webglcontextlost", this.handleContextLost);
    canvas.addEventListener("webglcontextrestored", this.handleContextRestored);
    this.darkScheme.addEventListener("change", this.readColours);
    this.resizes.observe(host);
    this.readColours();
    this.resize();
  }

  show(rooms: readonly SceneRoom[]): void {
    this.rooms = rooms;
    const arrangement = JSON.stringify(rooms.map(({ key }) => key));
    if (arrangement !== this.arrangement) {
      this.arrangement = arrangement;
      this.arrange();
    }
    this.paint();
  }

  select(key: RoomKey | undefined): void {
    this.selectedKey = key;
    this.selection?.removeFromParent();
    this.selection?.geometry.dispose();
    this.selection = undefined;
    const place = this.layout.rooms.find((room) => room.key === key);
    if (place !== undefined) {
      const frame = new BoxGeometry(ROOM_WIDTH_M + 0.3, ROOM_HEIGHT_M + 0.3, ROOM_DEPTH_M + 0.3);
      this.selection = new LineSegments(edgesOf(frame), this.selectionMaterial);
      this.selection.position.set(place.xM, ROOM_HEIGHT_M / 2, place.zM);
      this.scene.add(this.selection);
    }
    this.draw.request();
  }

  /** Steps back until the whole building is in view. */
  recentre(): void {
    this.controls.target.set(0, 0, 0);
    let distanceM = VIEW_DISTANCE_MIN_M;
    do {
      this.camera.position.copy(VIEW_DIRECTION).multiplyScalar(distanceM);
      this.controls.update();
      this.camera.updateMatrixWorld();
      distanceM *= VIEW_DISTANCE_STEP;
    } while (!this.isAllInView() && distanceM < this.camera.far / 2);
    this.draw.request();
  }

  destroy(): void {
    this.draw.cancel();
    this.resizes.disconnect();
    this.darkScheme.removeEventListener("change", this.readColours);
    const canvas = this.renderer.domElement;
    canvas.removeEventListener("pointerdown", this.handlePress);
    canvas.removeEventListener("pointerup", this.handleRelease);
    canvas.removeEventListener("webglcontextlost", this.handleContextLost);
    canvas.removeEventListener("webglcontextrestored", this.handleContextRestored);
    this.controls.dispose();
    this.labels.clear();
    this.renderer.dispose();
  }

  private isAllInView(): boolean {
    const { widthM, depthM } = this.layout;
    return [-widthM / 2, widthM / 2].every((xM) =>
      [-depthM / 2, depthM / 2].every((zM) =>
        [0, ROOM_HEIGHT_M].every((yM) => {
          const { x, y } = new Vector3(xM, yM, zM).project(this.camera);
          return Math.abs(x) <= VIEW_FILL && Math.abs(y) <= VIEW_FILL;
        }),
      ),
    );
  }

  private arrange(): void {
    this.layout = layOut(this.rooms);
    this.labels.clear();
    this.boxes?.dispose();
    for (const part of this.scene.children.filter(
      (child) => child instanceof Mesh || child instanceof LineSegments,
    )) {
      part.removeFromParent();
      if (part !== this.boxes) part.geometry.dispose();
    }

    const boxes = new InstancedMesh(this.boxGeometry, this.boxMaterial, this.layout.rooms.length);
    const edges: BufferGeometry[] = [];
    this.layout.rooms.forEach(({ key, xM, zM }, index) => {
      const position = new Matrix4().makeTranslation(xM, ROOM_HEIGHT_M / 2, zM);
      boxes.setMatrixAt(index, position);
      edges.push(edgesOf(this.boxGeometry).applyMatrix4(position));
      const edge = (offsetM: number): Vector3 => new Vector3(xM + offsetM, ROOM_HEIGHT_M, zM);
      this.labels.place(
        key,
        { name: "", letter: "", score: "" },
        edge(-ROOM_WIDTH_M / 2),
        edge(ROOM_WIDTH_M / 2),
      );
    });
    this.boxes = boxes;
    this.paintedColours = [];
    this.scene.add(boxes);
    if (edges.length > 0) this.scene.add(new LineSegments(mergeGeometries(edges), this.edgeMaterial));
    for (const { name, xM, zM, widthM, depthM } of this.layout.sites) {
      const floor = new Mesh(new BoxGeometry(widthM, 0.2, depthM), this.floorMaterial);
      floor.position.set(xM, -0.1, zM);
      this.scene.add(floor);
      const corner = (offsetM: number): Vector3 => new Vector3(xM + offsetM, 0, zM + depthM / 2);
      this.labels.place(
        `site ${name}`,
        { name, letter: "", score: "" },
        corner(-widthM / 2),
        corner(widthM / 2),
      );
    }
    this.select(this.selectedKey);
    this.recentre();
  }

  /** Scores change with every reading and are text; the 3D view is drawn again only for a new colour. */
  private paint(): void {
    const roomByKey = new Map(this.rooms.map((room) => [room.key, room]));
    let recoloured = false;
    this.layout.rooms.forEach(({ key }, index) => {
      const room = roomByKey.get(key);
      if (room === undefined) return;
      const letter = room.level === null ? "–" : LEVEL_MARKS[room.level].letter;
      const score = room.score === null ? "" : ` ${Math.round(room.score)}`;
      this.labels.update(key, { name: room.name, letter, score });

      const colour = this.colourOf(room);
      if (this.paintedColours[index]?.equals(colour)) return;
      this.paintedColours[index] = colour;
      this.boxes?.setColorAt(index, colour);
      recoloured = true;
    });
    if (!recoloured) return;
    if (this.boxes?.instanceColor) this.boxes.instanceColor.needsUpdate = true;
    this.draw.request();
  }

  private colourOf(room: SceneRoom): Color {
    const grey = this.levelColours.get(null) ?? new Color();
    const colour = (this.levelColours.get(room.level) ?? grey).clone();
    return room.stale ? colour.lerp(grey, STALE_FADE) : colour;
  }

  private drawNow(): void {
    this.renderer.render(this.scene, this.camera);
    this.labels.project(this.camera, this.host.clientWidth, this.host.clientHeight);
  }

  private resize(): void {
    const { clientWidth, clientHeight } = this.host;
    if (clientWidth === 0 || clientHeight === 0) return;
    this.camera.aspect = clientWidth / clientHeight;
    this.camera.updateProjectionMatrix();
    this.renderer.setSize(clientWidth, clientHeight, false);
    this.draw.request();
  }

  private readonly readColours = (): void => {
    const style = getComputedStyle(this.host);
    const colour = (name: string): Color => new Color(style.getPropertyValue(name).trim());
    this.levelColours = new Map<Level | null, Color>([
      ...LEVELS.map((level): [Level, Color] => [level, colour(`--level-${level}`)]),
      [null, colour("--level-unknown")],
    ]);
    this.floorMaterial.color = colour("--border");
    this.edgeMaterial.color = colour("--level-outline");
    this.selectionMaterial.color = colour("--text");
    this.paint();
    this.draw.request();
  };

  private readonly handlePress = (event: PointerEvent): void => {
    this.pressedAt = new Vector2(event.clientX, event.clientY);
  };

  private readonly handleRelease = (event: PointerEvent): void => {
    const moved = this.pressedAt?.distanceTo(new Vector2(event.clientX, event.clientY));
    this.pressedAt = undefined;
    if (moved === undefined || moved > CLICK_MOVE_MAX_PX || this.boxes === undefined) return;
    const { left, top, width, height } = this.renderer.domElement.getBoundingClientRect();
    const pointer = new Vector2(
      ((event.clientX - left) / width) * 2 - 1,
      1 - ((event.clientY - top) / height) * 2,
    );
    const raycaster = new Raycaster();
    raycaster.setFromCamera(pointer, this.camera);
    const hit = raycaster.intersectObject(this.boxes)[0];
    const place = hit?.instanceId === undefined ? undefined : this.layout.rooms[hit.instanceId];
    if (place !== undefined) this.events.onPick(place.key);
  };

  private readonly handleContextLost = (event: Event): void => {
    // Without this the browser never gives the context back.
    event.preventDefault();
    this.events.onContextLost();
  };

  private readonly handleContextRestored = (): void => {
    this.events.onContextRestored();
    this.draw.request();
  };
}

function edgesOf(geometry: BufferGeometry): BufferGeometry {
  // `EdgesGeometry` remembers its source, which merging refuses; the plain attributes are enough.
  const edges = new BufferGeometry();
  edges.setAttribute("position", new EdgesGeometry(geometry).getAttribute("position"));
  return edges;
}
