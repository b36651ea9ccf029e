/** The page's one connection to the building, made when the page starts. */

import { session } from "./access/page-session";
import { ApiClient } from "./api/client";
import { ReadingFeed, websocketWanted } from "./charts/charts";
import { LiveData } from "./live/live-data";
import { wsManager } from "./live/websocket-manager";

export const liveData = new LiveData();

export const readingFeed = new ReadingFeed({
  manager: wsManager,
  data: liveData,
  api: new ApiClient(session),
  useWebSocket: websocketWanted(location.search),
});
