import { cssColor } from "./theme";

/** As many values as the plot is wide for at least: the first ones stand at the right. */
const FEWEST = 60;

/** The last values of a figure as a small area, the newest at the right. */
export class Plot {
  readonly element = document.createElement("canvas");
  readonly #values: number[] = [];
  readonly #most: number;

  constructor(most: number) {
    this.#most = most;
    this.element.setAttribute("aria-hidden", "true");
  }

  add(value: number): void {
    this.#values.push(Number.isFinite(value) ? value : 0);
    if (this.#values.length > this.#most) this.#values.shift();
    this.#draw();
  }

  #draw(): void {
    const { element } = this;
    const ratio = devicePixelRatio;
    const [width, height] = [element.clientWidth, element.clientHeight];
    if (width === 0) return;
    element.width = width * ratio;
    element.height = height * ratio;
    const context = element.getContext("2d")!;
    context.scale(ratio, ratio);
    const highest = Math.max(...this.#values, 1e-9);
    const step = width / (Math.max(FEWEST, this.#values.length) - 1);
    const at = (index: number): [number, number] => [width - (this.#values.length - 1 - index) * step, height - 1 - (this.#values[index]! / highest) * (height - 3)];
    context.beginPath();
    this.#values.forEach((_, index) => context.lineTo(...at(index)));
    context.strokeStyle = cssColor("--accent");
    context.lineWidth = 1.5;
    context.stroke();
    context.lineTo(width, height);
    context.lineTo(width - (this.#values.length - 1) * step, height);
    context.fillStyle = cssColor("--accent-soft");
    context.fill();
  }
}
