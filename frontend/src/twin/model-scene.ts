/** The 3D model of one room, fitted to the view and drawn only when something changed. */

import {
  Box3,
  Color,
  DirectionalLight,
  HemisphereLight,
  Material,
  Mesh,
  type Object3D,
  PerspectiveCamera,
  Scene,
  Sphere,
  Texture,
  TextureLoader,
  Vector3,
  WebGLRenderer,
} from "three";
import { OrbitControls } from "three/addons/controls/OrbitControls.js";
import { GLTFLoader } from "three/addons/loaders/GLTFLoader.js";
import { type FrameBatch, frameBatch } from "../live/frame-batch";

const FIELD_OF_VIEW_DEG = 40;
/** From in front, a little to the right, and above. */
const VIEW_DIRECTION = new Vector3(0.5, 0.6, 1).normalize();
/** Air around the model, as a share of its size. */
const VIEW_MARGIN = 1.05;
const PIXEL_RATIO_MAX = 2;

export class ModelScene {
  private readonly renderer: WebGLRenderer;
  private readonly scene = new Scene();
  private readonly camera = new PerspectiveCamera(FIELD_OF_VIEW_DEG);
  private readonly controls: OrbitControls;
  private readonly draw: FrameBatch = frameBatch(() => this.renderer.render(this.scene, this.camera));
  private readonly resizes = new ResizeObserver(() => this.resize());
  private readonly extent = new Sphere(new Vector3(), 1);
  private model: Object3D | undefined;
  private destroyed = false;

  /** Throws when the browser has no WebGL. */
  constructor(
    private readonly host: HTMLElement,
    canvas: HTMLCanvasElement,
  ) {
    this.renderer = new WebGLRenderer({ canvas, antialias: true, alpha: true });
    this.renderer.setPixelRatio(Math.min(devicePixelRatio, PIXEL_RATIO_MAX));
    const sun = new DirectionalLight(0xffffff, 2);
    sun.position.set(3, 6, 4);
    this.scene.add(new HemisphereLight(new Color(0xffffff), new Color(0x888888), 2), sun);
    this.controls = new OrbitControls(this.camera, canvas);
    this.controls.addEventListener("change", () => this.draw.request());
    canvas.addEventListener("webglcontextrestored", this.draw.request);
    this.resizes.observe(host);
    this.resize();
  }

  /** Shows a GLB in place of what was shown. Throws when it cannot be read. */
  async show(file: ArrayBuffer): Promise<void> {
    const { scene: model } = await loader().parseAsync(file, "");
    const box = new Box3().setFromObject(model);
    if (this.destroyed || box.isEmpty()) {
      dispose(model);
      if (this.destroyed) return;
      throw new Error("the model shows nothing");
    }
    this.clear();
    this.model = model;
    this.scene.add(model);
    box.getBoundingSphere(this.extent);
    this.recentre();
  }

  clear(): void {
    this.model?.removeFromParent();
    if (this.model !== undefined) dispose(this.model);
    this.model = undefined;
    this.draw.request();
  }

  /** Steps back until the whole model is in view. */
  recentre(): void {
    const { center, radius } = this.extent;
    const halfHeight = (FIELD_OF_VIEW_DEG / 2) * (Math.PI / 180);
    const halfWidth = Math.atan(Math.tan(halfHeight) * this.camera.aspect);
    const distance = (VIEW_MARGIN * radius) / Math.sin(Math.min(halfHeight, halfWidth));
    this.camera.near = distance / 1000;
    this.camera.far = distance * 20;
    this.camera.position.copy(VIEW_DIRECTION).multiplyScalar(distance).add(center);
    this.camera.updateProjectionMatrix();
    this.controls.target.copy(center);
    this.controls.maxDistance = distance * 10;
    this.controls.update();
    this.draw.request();
  }

  destroy(): void {
    this.destroyed = true;
    this.clear();
    this.draw.cancel();
    this.resizes.disconnect();
    this.renderer.domElement.removeEventListener("webglcontextrestored", this.draw.request);
    this.controls.dispose();
    this.renderer.dispose();
    // A browser has few contexts, and would take its time to notice.
    this.renderer.forceContextLoss();
  }

  private resize(): void {
    const { clientWidth, clientHeight } = this.host;
    if (clientWidth === 0 || clientHeight === 0) return;
    this.camera.aspect = clientWidth / clientHeight;
    this.camera.updateProjectionMatrix();
    this.renderer.setSize(clientWidth, clientHeight, false);
    this.draw.request();
  }
}

/** Textures come as images: the content security policy lets no script fetch their addresses. */
function loader(): GLTFLoader {
  return new GLTFLoader().register((parser) => {
    parser.textureLoader = new TextureLoader(parser.options.manager);
    return { name: "textures-as-images" };
  });
}

function dispose(model: Object3D): void {
  model.traverse((part) => {
    if (!(part instanceof Mesh)) return;
    part.geometry.dispose();
    for (const material of [part.material].flat()) {
      if (!(material instanceof Material)) continue;
      for (const value of Object.values(material)) if (value instanceof Texture) value.dispose();
      material.dispose();
    }
  });
}
