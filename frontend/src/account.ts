import "./styles/tokens.css";
import "./styles/base.css";
import "./styles/forms.css";
import { createApp } from "vue";
import { withSession } from "./access";
import AccountView from "./views/AccountView.vue";

await withSession(() => {
  createApp(AccountView).mount("#app");
});
