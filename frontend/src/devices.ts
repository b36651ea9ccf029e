import "./styles/tokens.css";
import "./styles/base.css";
import "./styles/forms.css";
import { createApp } from "vue";
import { withSession } from "./access";
import DevicesView from "./views/DevicesView.vue";

await withSession(() => {
  createApp(DevicesView).mount("#app");
});
